"""Sections of the page that are tables: flags, accounts of rows and of values, units, plausible ranges."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from neurotwin.ingest.accounting import KINDS
from neurotwin.ingest.page.words import FLAGS, reason
from neurotwin.pages.markup import name_text, table, text

FILES_SHOWN = 40
"""Files with a row of their own, those with most rejections first; the others share one."""
Report = Mapping[str, Any]
_COUNTS = ("read", "accepted", "merged", "out of scope", "rejected")
_KINDS = {"measurements": "measurement", "treatments": "treatment", "statics": "covariate"}


def flags(report: Report) -> str:
    """What looks odd though each value is valid."""
    if not report["flags"]:
        return (
            "<p>Nothing was flagged: no two variables are copies of each other, no signal is constant, stuck or "
            "interpolated, no values come again one hour later, and few values were outside their plausible range.</p>"
        )
    items = "".join(
        f"<li><p><strong>{text(_upper(one['what']))}</strong>: {_names(one['variables'])}, {one['share']:.1%}</p>"
        f'<p class="small">{text(FLAGS.get(one["what"], ""))}</p></li>'
        for one in report["flags"]
    )
    return (
        "<p>Each of these values is valid by itself; together they look odd. Nothing was corrected. The share is that "
        f'of the measurements.</p><ul class="flags">{items}</ul>'
    )


def rows(report: Report) -> str:
    """Accounts of rows by file, and why rows were rejected."""
    files = sorted(report["files"], key=lambda one: -_rejected(one))  # of equal ones, the order of the report
    shown, others = files[:FILES_SHOWN], files[FILES_SHOWN:]
    accounts = [(one["path"], one) for one in shown]
    if others:
        accounts.append((f"{len(others):,} other files", _sum(others)))
    body = [(False, [name_text(name), *_cells(account)]) for name, account in accounts]
    if len(files) > 1:
        body.append((True, ["all files", *_cells(report["totals"])]))
    tables = table("Rows by file", ["file", *_COUNTS], body)
    if len(files) == 1 or not _rejected(report["totals"]):
        return tables + _why("Why rows were rejected, by file and reason", "file", accounts, "No row was rejected.")
    together = _why("Why rows were rejected, all files together", "files", [("all", report["totals"])], "")
    single = _why("Why rows were rejected, by file and reason", "file", accounts, "")
    return f"{tables}{together}<details open><summary>By file and reason</summary>{single}</details>"


def items(report: Report) -> str:
    """Accounts of measurements, treatments and covariates by name, and why values were rejected."""
    accounts = [(kind, name, one) for kind in KINDS for name, one in report[kind]["by_name"].items()]
    body = [(False, [name_text(name), _KINDS[kind], *_cells(account)]) for kind, name, account in accounts]
    body += [(True, [f"all {_KINDS[kind]}s", "", *_cells(report[kind])]) for kind in KINDS if report[kind]["read"]]
    empty = report["measurements"].get("empty", 0)
    unnamed = {kind: _difference(report[kind]) for kind in KINDS}
    reasons = [(name, one) for _, name, one in accounts]
    reasons += [(f"{_KINDS[kind]}s, no name", {"rejected": left}) for kind, left in unnamed.items() if left]
    note = f"<p>{empty:,} cells were empty; they count as nothing.</p>" if empty else ""
    return (
        table("Values by name", ["name", "kind", *_COUNTS], body, left=(1,))
        + note
        + _why("Why values were rejected, by name and reason", "name", reasons, "No value was rejected.")
    )


def units(report: Report) -> str:
    """Which units were converted, and how often."""
    converted = [one for one in report["units"] if one["from"] != one["to"]]
    as_is = sum(one["count"] for one in report["units"]) - sum(one["count"] for one in converted)
    kept = f"<p>{as_is:,} values came in the cohort's own unit.</p>"
    if not converted:
        return f"<p>No unit was converted.</p>{kept}"
    body = [
        (False, [name_text(one["name"]), text(one["from"]), text(one["to"]), f"{one['count']:,}"]) for one in converted
    ]
    caption = "Values converted, by name and by the unit that was declared for them or stood beside them"
    return table(caption, ["name", "from", "to", "values"], body, left=(1, 2)) + kept


def ranges(report: Report) -> str:
    """What is believed of each name, by whom, and how much was outside."""
    body = []
    for one in report["ranges"]:
        account = report[one["kind"]]["by_name"][one["name"]]
        outside = account["rejected"].get("implausible", 0)
        judged = account["accepted"] + account["merged"] + outside
        told = (text(cell) for cell in (one["unit"], _span(*one["plausible"]), one["source"] or "not stated"))
        share = f"{outside / judged:.2%}" if judged else ""
        body.append((False, [name_text(one["name"]), *told, f"{outside:,}", share]))
    return table(
        "Values outside were rejected as implausible; magnitude never decides about a unit",
        ["name", "unit", "plausible", "source of the range", "outside", "share"],
        body,
        left=(1, 2, 3),
    )


def _why(caption: str, head: str, accounts: Iterable[tuple[str, Report]], nothing: str) -> str:
    """One row for each file or name and each reason; of one file or name, those of most first."""
    found = [
        (name, why, count)
        for name, one in accounts
        for why, count in sorted(one["rejected"].items(), key=lambda each: -each[1])
    ]
    if not found:
        return f"<p>{nothing}</p>"
    body = [
        (False, [name_text(name), f"<code>{text(why)}</code>", f"{count:,}", text(reason(why))])
        for name, why, count in found
    ]
    return table(caption, [head, "reason", "count", "in words"], body, left=(1, 3))


def _cells(account: Report) -> list[str]:
    counts = [account[name] for name in ("read", "accepted", "merged", "out_of_scope")]
    return [f"{count:,}" for count in (*counts, _rejected(account))]


def _rejected(account: Report) -> int:
    return sum(account["rejected"].values())


def _sum(accounts: Iterable[Report]) -> Report:
    total: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for one in accounts:
        total.update({name: one[name] for name in ("read", "accepted", "merged", "out_of_scope")})
        rejected.update(one["rejected"])
    return {**total, "rejected": dict(rejected)}


def _difference(account: Report) -> dict[str, int]:
    """Rejections of a kind that belong to none of its names."""
    left: Counter[str] = Counter(account["rejected"])
    for one in account["by_name"].values():
        left.subtract(one["rejected"])
    return {why: count for why, count in left.items() if count > 0}


def _names(names: Iterable[str]) -> str:
    return " and ".join(f"<code>{text(name)}</code>" for name in names)


def _upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _span(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return "anything"
    if low is None:
        return f"up to {high:,.10g}"
    return f"{low:,.10g} or more" if high is None else f"{low:,.10g} to {high:,.10g}"
