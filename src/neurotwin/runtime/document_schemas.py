"""JSON Schemas of all documents that a twin is told or asked with, and of its answers."""

from typing import Any

from neurotwin.runtime.answer_schema import ANSWER, COMPARISON
from neurotwin.runtime.documents import PatientDocument, PlanDocument
from neurotwin.runtime.goals import BudgetDocument, ConstraintsDocument, GoalDocument
from neurotwin.runtime.kinds import Record
from neurotwin.runtime.policies import AlertPolicyDocument
from neurotwin.runtime.questions import EventDocument, HorizonDocument, TargetDocument

DRAFT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, type[Any]] = {
    "patient": PatientDocument,
    "plan": PlanDocument,
    "event": EventDocument,
    "horizon": HorizonDocument,
    "target": TargetDocument,
    "goal": GoalDocument,
    "constraints": ConstraintsDocument,
    "budget": BudgetDocument,
    "alert_policy": AlertPolicyDocument,
}
"""By the name under which their schema stands."""


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas (draft 2020-12) by the documents' names; ``answer`` is one plan's, ``comparison`` that of several.

    They tell names, kinds and choices; what two fields say together (one threshold of two, say) is checked by
    `neurotwin.runtime.parse_document` alone, and told in each description.
    """
    told = {name: Record(kind).schema() for name, kind in DOCUMENTS.items()}
    answers = {
        "answer": {"title": "Answer", "description": "What is said about one plan.", **ANSWER},
        "comparison": {"title": "Comparison", "description": "What is said about several plans.", **COMPARISON},
    }
    return {name: {"$schema": DRAFT} | content for name, content in (told | answers).items()}
