"""The flow diagram of the page: files, rows, values, subjects, folds, and what was left behind at each step."""

from collections.abc import Iterable, Mapping
from typing import Any

from neurotwin.pages.markup import text

REASONS_SHOWN = 3
_KINDS = {"measurements": "measurements", "treatments": "doses", "statics": "covariates"}
Report = Mapping[str, Any]


def flow(report: Report) -> str:
    """The diagram, as a list from top to bottom; it needs no drawing."""
    totals, subjects = report["totals"], report["subjects"]
    without = subjects["read"] - subjects["kept"]
    unseen = subjects["without_observations"]
    accepted = {words: report[kind]["accepted"] for kind, words in _KINDS.items() if report[kind]["read"]}
    steps = [
        _step(len(report["files"]), "file" if len(report["files"]) == 1 else "files", ()),
        _step(totals["read"], "rows read", _lost(totals)),
        _step(totals["accepted"], "rows accepted", ()),
        _step(
            sum(report[kind]["read"] for kind in _KINDS),
            "values in the rows read",
            [line for kind, words in _KINDS.items() for line in _lost(report[kind], f" ({words})")],
        ),
        _step(
            sum(accepted.values()),
            "values accepted",
            [f"{count:,} {words}" for words, count in accepted.items()] if len(accepted) > 1 else (),
        ),
        _step(subjects["read"], "subjects", [f"{without:,} without anything accepted"] if without else ()),
        _step(
            subjects["kept"],
            "subjects in the cohort",
            [f"{unseen:,} of them without measurements"] if unseen else (),
        ),
        _folds(report["survey"]["folds"]),
    ]
    return (
        f'<ol class="flow">{"".join(steps)}</ol><p class="small">The fold comes from a hash of the split key and the '
        "subject's id, so that adding subjects moves nobody, or from the source where the mapping reads it. Unless "
        "they are rotated, folds 0 to 2 train, 3 validates and 4 tests.</p>"
    )


def _step(count: int, name: str, lost: Iterable[str]) -> str:
    left = "".join(f"<li>{text(line)}</li>" for line in lost)
    aside = f'<ul class="lost">{left}</ul>' if left else ""
    return f"<li>{_stage(count, name)}{aside}</li>"


def _stage(count: int, name: str) -> str:
    return f'<div class="stage"><strong>{count:,}</strong> <span>{text(name)}</span></div>'


def _folds(counts: Iterable[int]) -> str:
    stages = "".join(_stage(count, f"fold {number}") for number, count in enumerate(counts))
    return f'<li><div class="folds">{stages}</div></li>'


def _lost(account: Report, of: str = "") -> list[str]:
    """Lines for what was merged, out of scope and rejected; ``of`` tells what."""
    lines = [
        f"{account[name]:,} {words}{of}"
        for name, words in (("merged", "merged: duplicates"), ("out_of_scope", "out of scope"))
        if account[name]
    ]
    rejected = account["rejected"]
    if rejected:
        most = sorted(rejected.items(), key=lambda one: -one[1])
        why = ", ".join(f"{name} {count:,}" for name, count in most[:REASONS_SHOWN])
        more = f" and {len(most) - REASONS_SHOWN} other reasons" if len(most) > REASONS_SHOWN else ""
        lines.append(f"{sum(rejected.values()):,} rejected{of}: {why}{more}")
    return lines
