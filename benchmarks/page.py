"""A benchmark's results.json and the part of its README.md that is made from it."""

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neurotwin

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
LARGER, SMALLER = ">=", "<="


def machine() -> str:
    """What the numbers were measured on, without the name of a host."""
    name = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        told = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        told = {key.strip(): value.strip() for key, value in told.items()}
        sets = [one for one in ("avx512f", "avx2") if one in told.get("flags", "").split()]
        family = f"family {told['cpu family']}" if "cpu family" in told else ""
        name = ", ".join(one for one in (told.get("model name", name), family, *sets[:1]) if one)
    return f"{name}, {platform.system()}, {os.cpu_count()} cores"


def versions(*packages: str) -> dict[str, str]:
    """Of all that takes part and is installed."""
    found = {"neurotwin": neurotwin.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def goal(
    name: str, asked: float, direction: str, measured: float | None, unit: str = "", cause: str = ""
) -> dict[str, Any]:
    """What was asked and what came of it; ``cause`` tells why it was missed, and is dropped where it was not."""
    return {
        "name": name,
        "goal": asked,
        "direction": direction,
        "measured": measured,
        "unit": unit,
        "cause": "" if measured is not None and met(asked, direction, measured) else cause,
    }


def met(asked: float, direction: str, measured: float) -> bool:
    """Whether a goal is met."""
    return measured >= asked if direction == LARGER else measured <= asked


def results(command: str, packages: Sequence[str], rows: list[dict[str, Any]], goals: list[dict[str, Any]]) -> Any:
    """The content of results.json."""
    return {
        "machine": machine(),
        "versions": versions(*packages),
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": rows,
        "goals": goals,
    }


def write(folder: Path, content: dict[str, Any], tables: Sequence[str]) -> None:
    """Write results.json, and the tables with the goals between the marks of README.md; each in one move."""
    _replace(folder / "results.json", json.dumps(content, indent=1) + "\n")
    put(folder / "README.md", [head(content), *tables, "### Goals", goals_table(content["goals"])])


def head(content: dict[str, Any]) -> str:
    """By which command, where and when something was measured."""
    told = ", ".join(f"{name} {value}" for name, value in content["versions"].items())
    return f"`{content['command']}` on {content['machine']}, {content['date']}; {told}."


def put(page: Path, parts: Sequence[str]) -> None:
    """Put paragraphs between the marks of a page, in one move."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    _replace(page, f"{before}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{after}")


def quick_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """``--quick``, of which ``what`` says what it does, and ``--json FILE`` for `benchmarks/run_all.py`."""
    parser.add_argument("--quick", action="store_true", help=f"{what}; nothing is kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="with --quick: write the goals there")


def tell(goals: list[dict[str, Any]], file: Path | None) -> None:
    """How a quick run ends: its goals in words, and in ``file`` as ``{"goals": [...]}``."""
    print(goals_table(goals), flush=True)
    if file is not None:
        _replace(file, json.dumps({"goals": goals}) + "\n")


def table(columns: dict[str, str], rows: list[dict[str, Any]]) -> str:
    """Markdown: ``columns`` maps a row's keys to headings; numbers are set to the right."""
    numbers = [all(not isinstance(row.get(key), str) for row in rows) for key in columns]
    lines = [
        f"| {' | '.join(columns.values())} |",
        f"| {' | '.join('---:' if number else '---' for number in numbers)} |",
    ]
    lines += [f"| {' | '.join(spelled(row.get(key)) for key in columns)} |" for row in rows]
    return "\n".join(lines)


def goals_table(goals: list[dict[str, Any]]) -> str:
    """What was asked, measured, and why it was missed."""
    rows = []
    for one in goals:
        value = one["measured"]
        held = "not measured" if value is None else "yes" if met(one["goal"], one["direction"], value) else "no"
        if one["cause"]:
            held += f": {one['cause']}"
        asked = f"{one['direction']} {spelled(one['goal'])} {one['unit']}".strip()
        rows.append({"goal": one["name"], "asked": asked, "measured": spelled(value), "met": held})
    return table({"goal": "goal", "asked": "asked", "measured": "measured", "met": "met"}, rows)


def spelled(value: Any) -> str:
    """Three digits, as people read them."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
