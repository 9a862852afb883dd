"""Rewrite the table of docs/reliability.md from the junit XML of `make test-fault`."""

import platform
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"


def rows_of(report: Path) -> list[tuple[str, int, int, str]]:
    """Fault, tried, lost and test of each test that told them; of a test that failed, at least one is lost."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - written by pytest on this machine
        told = [(item.get("name"), item.get("value", "")) for item in case.iter("property")]
        wrong = case.find("failure") is not None or case.find("error") is not None
        test = f"{case.get('classname', '').replace('.', '/')}.py"
        name = str(case.get("name", "")).split("[")[0]
        faults = [value for key, value in told if key == "fault"] or ([name.replace("_", " ")] if wrong else [])
        for fault, tried, lost in zip(faults, _numbers(told, "tried", 1), _numbers(told, "lost", 0), strict=False):
            row = sums[fault, f"{test}::{name}"]
            row[0], row[1] = row[0] + tried, row[1] + max(lost, int(wrong))
    return sorted((fault, tried, lost, test) for (fault, test), (tried, lost) in sums.items())


def _numbers(told: list[tuple[str | None, str]], key: str, default: int) -> list[int]:
    return [int(value) for name, value in told if name == key] or [default]


def block(rows: list[tuple[str, int, int, str]]) -> str:
    """The table in Markdown, with its sums, the machine and the day."""
    lines = ["| fault | tried | survived | lost | test |", "| --- | ---: | ---: | ---: | --- |"]
    lines += [f"| {fault} | {tried} | {tried - lost} | {lost} | `{test}` |" for fault, tried, lost, test in rows]
    tried, lost = (sum(row[place] for row in rows) for place in (1, 2))
    lines.append(f"| **all** | **{tried}** | **{tried - lost}** | **{lost}** | |")
    where = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"`make test-fault` on {where}, {datetime.now(UTC).date()}.\n\n" + "\n".join(lines)


def main(report: Path, page: Path = PAGE) -> None:
    """Put the table between the page's marks."""
    head, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{head}{BEGIN}\n{block(rows_of(report))}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
