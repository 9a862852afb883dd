"""neurotwin predict."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurotwin.errors import DocumentError
from neurotwin.runtime import INPUT_FAULTS, PatientDocument, PlanDocument, Predictor, Twin, read_document
from neurotwin.runtime.documents import check_order


def predict_plans(bundle: Path, patient: Path, plans: Sequence[Path], form: str) -> str:
    """The answer as text.

    Raises:
        DocumentError: a document cannot be read, or holds what makes the model fall silent (`INPUT_FAULTS`).
        ArtefactError: the bundle is not what it should be.
    """
    if form not in ("json", "csv"):
        raise DocumentError(f"format {form!r}", where="--format", expected="json or csv")
    document = read_document(PatientDocument, patient)
    check_order(document)
    asked = [read_document(PlanDocument, plan) for plan in plans]
    twin = Twin.of(Predictor.load(bundle), document)
    answer = twin.forecast(asked[0]) if len(asked) == 1 else twin.compare(asked)
    answers = answer.get("plans", [answer])
    for one in answers:
        _refuse_bad_input(one, patient)
    return json.dumps(answer, indent=1, allow_nan=False) + "\n" if form == "json" else _csv(answers)


def _refuse_bad_input(answer: dict[str, Any], patient: Path) -> None:
    """A document's own faults are bad input; what the model cannot know is an answer."""
    if answer["status"] == "abstain" and INPUT_FAULTS & set(answer["reasons"]):
        raise DocumentError(
            ", ".join(answer["reasons"]),
            where=f"{patient}, {'; '.join(answer['details'][:3])}",
            expected="a document that the bundle can read",
            remedy="see: neurotwin inspect BUNDLE",
        )


def _csv(answers: Sequence[dict[str, Any]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["plan", "status", "reasons", "t", "after", "channel", "unit", "median", "lo", "hi", "level"])
    for answer in answers:
        head = [answer["plan"]["name"], answer["status"], " ".join(answer["reasons"])]
        for row in answer["prediction"] or []:
            interval = row.get("interval", {})
            writer.writerow(
                [
                    *head,
                    row["t"],
                    row["after"],
                    row["channel"],
                    row["unit"],
                    row["median"],
                    *(interval.get(key) for key in ("lo", "hi", "level")),
                ]
            )
        if not answer["prediction"]:
            writer.writerow([*head, *[None] * 8])
    return table.getvalue()
