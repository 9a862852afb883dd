"""Does a twin fall silent when its input is wrong, and only then?

python benchmarks/failsafe/run.py [--folder runs/benchmarks/failsafe] [--train] [--quick]
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from benchmarks import page
from benchmarks.failsafe import twins
from benchmarks.failsafe.documents import Question, questions_of
from benchmarks.failsafe.faults import Fault, faults_of

from neurotwin.runtime import Predictor, Twin

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "onnxruntime")
COMMAND = "python benchmarks/failsafe/run.py"
PATIENTS, EACH = 1100, 40
"""Unseen patients of each population, and inputs of each fault."""
INSIDE = "in distribution"
HARD = (
    "x88.4", "x1000", "swapped channels", "age 400", "dose x100", "dose negative", "negative", "future-dated",
    "unit missing", "unit unknown", "unknown treatment", "unknown level", "covariate x88.4", "covariate x18", "x18",
    "time unit",
)  # fmt: skip
"""Groups of faults that must always be caught; the others are counted beside them."""


Told = tuple[str, list[str]]
"""Status and reasons of an answer."""


def told_of(predictor: Predictor, patient: Any, plan: Any) -> Told:
    """What a twin says of a question."""
    answer = Twin.of(predictor, patient).forecast(plan)
    return answer["status"], answer["reasons"]


def unseen_row(name: str, predictor: Predictor, questions: list[Question]) -> tuple[dict[str, Any], list[Question]]:
    """How often a twin is silent about patients like those that it knows, and those of whom it speaks."""
    found = [told_of(predictor, one.patient, one.plan) for one in questions]
    answered = [one for one, (status, _) in zip(questions, found, strict=True) if status != "abstain"]
    return row_of(name, INSIDE, INSIDE, found), answered


def fault_row(
    name: str, predictor: Predictor, fault: Fault, questions: list[Question], population: list[Question]
) -> dict[str, Any]:
    """How often a fault is answered by silence."""
    asked = [fault.of(one.patient, one.plan) for one in questions]
    found = [told_of(predictor, *one) for one in asked]
    row = row_of(name, fault.group, fault.name, found)
    if fault.factor > 1:
        everyone = [ends_of(one.patient, fault.channel) for one in population]
        row["possible"] = fault.factor < span_of(population, fault.channel)
        spoken = [patient for (patient, _), (status, _) in zip(asked, found, strict=True) if status != "abstain"]
        doubles = [has_double(ends_of(patient, fault.channel), everyone) for patient in spoken]
        row["alike"] = sum(doubles) / len(doubles) if doubles else None
    return row


def span_of(population: list[Question], channel: str) -> float:
    """95th over 5th percentile of a channel's records: a smaller factor leaves values that patients have."""
    told = [
        one["value"]
        for question in population
        for one in question.patient["observations"]
        if one["variable"] == channel
    ]
    low, high = np.quantile(told, [0.05, 0.95])
    return float(high / low)


def ends_of(patient: Any, channel: str) -> tuple[float, float]:
    """First value of a channel, and the last over the first; NaN where it was not seen."""
    told = [one["value"] for one in patient["observations"] if one["variable"] == channel] or [np.nan]
    return told[0], told[-1] / told[0] if told[0] else np.nan


def has_double(ends: tuple[float, float], everyone: list[tuple[float, float]]) -> bool:
    """Whether someone begins and changes alike, each within a quarter."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(np.log(np.array(everyone)) - np.log(np.array(ends)))
    return bool((apart < np.log(1.25)).all(axis=1).any())


def row_of(name: str, group: str, fault: str, found: list[Told]) -> dict[str, Any]:
    """Counts of one fault under one bundle."""
    silent = [reasons for status, reasons in found if status == "abstain"]
    warned = sum(status == "degraded" for status, _ in found)
    counts = Counter(reason for reasons in silent for reason in reasons)
    return {
        "bundle": name, "group": group, "fault": fault, "inputs": len(found), "abstain": len(silent),
        "share": len(silent) / max(len(found), 1), "warned": warned / max(len(found), 1),
        "reasons": ", ".join(reason for reason, _ in counts.most_common(3)), "possible": False,
    }  # fmt: skip


def rows_of(kind: twins.Kind, work: Path, patients: int, each: int) -> list[dict[str, Any]]:
    """Of one bundle."""
    predictor = twins.predictor_of(kind, work)
    cohort = twins.cohort_of(kind, twins.UNSEEN, patients, work)
    row, answered = unseen_row(kind.name, predictor, questions_of(cohort, predictor, twins.UNSEEN))
    rows = [row]
    for number, fault in enumerate(faults_of(predictor.signature)):
        begin = number * each % max(len(answered) - each, 1)
        rows.append(fault_row(kind.name, predictor, fault, answered[begin : begin + each], answered))
    return rows


def goals_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    every = [row for row in rows if row["group"] in HARD]
    hard = [row for row in every if not row["possible"]]
    inputs, caught = (sum(row[key] for row in hard) for key in ("inputs", "abstain"))
    missed = ", ".join(f"{row['fault']} ({row['bundle']}) {row['share']:.0%}" for row in hard if row["share"] < 1)
    whole = sum(row["abstain"] for row in every) / sum(row["inputs"] for row in every)
    alike = [row["alike"] for row in every if row["possible"] and row["alike"] is not None]
    cause = (
        f"a tumour of the population may be a thousand times larger than another: {min(alike, default=0):.0%} or more "
        "of the answered records have a double among patients without a fault"
    )
    inside = [row for row in rows if row["group"] == INSIDE]
    return [
        page.goal("hard faults answered by silence", 1.0, page.LARGER, caught / inputs, "", f"not all of: {missed}"),
        page.goal("the same, with factors smaller than the population's own span", 1.0, page.LARGER, whole, "", cause),
        page.goal("hard faults tried", 1000, page.LARGER, inputs, "inputs", "fewer inputs"),
        page.goal("patients like those known, silent about", 0.02, page.SMALLER, max(row["share"] for row in inside)),
        page.goal("patients like those known, of each bundle", 1000, page.LARGER, min(row["inputs"] for row in inside)),
    ]


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    columns = {
        "bundle": "bundle", "fault": "fault", "inputs": "inputs", "share": "silent", "warned": "answered, warned",
        "reasons": "reasons",
    }  # fmt: skip
    told = [row for row in content["rows"] if row["group"] in (*HARD, INSIDE) and not row["possible"]]
    rest = [row for row in content["rows"] if row not in told]
    alike = {"alike": "answered ones with a double in the population"}
    return [
        page.table(columns, told),
        "Faults that may leave a record such as a patient has. A double is an unseen patient, without a fault, whose "
        "first value and whose change from the first to the last are within a quarter of the faulty record's:",
        page.table(columns | alike, rest),
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=twins.WORK, help="kept between calls")
    parser.add_argument("--train", action="store_true", help="train the twins anew, and keep their weights")
    page.quick_arguments(parser, "the bundle of the repository alone, few patients")
    given = parser.parse_args()
    if given.train:
        for kind in twins.TWINS.values():
            if kind.settings:
                twins.train(kind, given.folder)
    with tempfile.TemporaryDirectory() as scratch:
        if given.quick:
            rows = rows_of(twins.TWINS["lung_tumour"], Path(scratch), 40, 4)
            page.tell(goals_of(rows), given.json)
            return
        rows = [row for kind in twins.TWINS.values() for row in rows_of(kind, given.folder, PATIENTS, EACH)]
    content = page.results(COMMAND, PACKAGES, rows, goals_of(rows))
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
