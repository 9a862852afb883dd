"""The tables of README.md, made from results.json."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.cancer import results

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
REFERENCE = "popmean"
ORDER = ("persist", "popmean", "bayes", "particle", "true")
SETTINGS = (("T11", "sliding", "sliding plans"), ("T10", "randomised", "random plans"))


def write_readme() -> None:
    """Put the tables between the markers."""
    page = (HERE / "README.md").read_text()
    head, _, rest = page.partition(BEGIN)
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{block(results.read())}\n{END}{rest.partition(END)[2]}")


def block(found: dict[str, Any]) -> str:
    """Everything that is made from results: a table for each track and gamma, and the goals."""
    told = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    parts = [f"On {found['machine']}; {told}; last change {found['date']}. Each row of `results.json` has its command."]
    rows = found["rows"]
    for track in dict.fromkeys(row["track"] for row in rows):
        for gamma in sorted({row["gamma"] for row in rows if row["track"] == track}):
            chosen = [row for row in rows if (row["track"], row["gamma"]) == (track, gamma)]
            parts += [f"### Track {track}, gamma {gamma:g}", _by_seed(chosen), _by_horizon(chosen, track, gamma)]
    return "\n\n".join([*parts, "### Goals", _goals(found["goals"])])


def _by_seed(rows: list[dict[str, Any]]) -> str:
    """Six days ahead on sliding plans: each seed's score, with the population mean's beside it."""
    seeds = sorted({row["seed"] for row in rows})
    score = {(row["model"], row["seed"]): row["sliding"][-1] for row in rows}
    lines = []
    for model in _models(rows):
        cells = [_pair(score.get((model, seed)), score.get((REFERENCE, seed))) for seed in seeds]
        lines.append(
            [model, *cells, _pair(*(_mean(score.get((name, seed)) for seed in seeds) for name in (model, REFERENCE)))]
        )
    caption = f"Sliding plans, tau 6, NRMSE %: the model's / {REFERENCE}'s, by seed."
    return f"{caption}\n\n" + _table(["model", *(f"seed {seed}" for seed in seeds), "mean"], lines)


def _by_horizon(rows: list[dict[str, Any]], track: str, gamma: float) -> str:
    """Means over the seeds that a model has, with the published models where there are any."""
    lines = []
    for model in _models(rows):
        own = [row for row in rows if row["model"] == model]
        columns = [[row["one_step"][kind] for row in own] for kind in ("last", "all", "orig")]
        columns += [[row[name][tau] for row in own] for _, name, _ in SETTINGS for tau in (0, 2, 4)]
        seconds = _mean(row.get("train_seconds") for row in own)
        cells = [_number(_mean(column)) for column in columns]
        size = str(own[0].get("parameters", "-"))
        lines.append([model, str(len(own)), *cells, size, "-" if seconds is None else f"{seconds:.0f}"])
    if track == "clean":
        lines += _published(gamma)
    head = ["model", "seeds", "one-step last", "all", "orig"]
    head += [f"{word.split()[0]} tau {tau}" for _, _, word in SETTINGS for tau in (2, 4, 6)]
    return "Means over seeds, NRMSE %.\n\n" + _table([*head, "parameters", "train s"], lines)


def _published(gamma: float) -> list[list[str]]:
    """Rows of the published tables for this gamma: means of five seeds."""
    with (HERE / "published.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["gamma"]) == gamma]
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        value = {(row["table"], int(row["tau"])): row["nrmse_pct_mean"] for row in rows if row["model"] == model}
        cells = [value.get((table, tau), "-") for table, _, _ in SETTINGS for tau in (2, 4, 6)]
        lines.append([f"{model} (published)", "5", value.get(("T9", 1), "-"), "-", "-", *cells, "-", "-"])
    return lines


def _goals(goals: Iterable[dict[str, Any]]) -> str:
    lines = []
    for goal in goals:
        measured = goal["measured"]
        met = (
            "not measured"
            if measured is None
            else "yes"
            if measured <= goal["goal"]
            else f"no: {goal['cause'] or 'not explained'}"
        )
        lines.append([goal["name"], f"{goal['direction']} {goal['goal']:g} {goal['unit']}", _number(measured), met])
    return _table(["goal", "asked", "measured", "met"], lines)


def _models(rows: list[dict[str, Any]]) -> list[str]:
    """References first, in their order, then models by name."""
    names = sorted({row["model"] for row in rows})
    return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]


def _mean(values: Iterable[float | None]) -> float | None:
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _pair(value: float | None, reference: float | None) -> str:
    return "-" if value is None else f"{value:.3f} / {_number(reference)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
