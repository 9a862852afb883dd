"""JSON Schemas of all documents that a twin is told or asked with."""

from typing import Any

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
    """JSON Schemas (draft 2020-12) by the documents' names.

    They tell names, kinds and choices; what two fields say together (one threshold of two, say) is checked by
    `neurotwin.runtime.parse_document` alone, and told in each description.
    """
    return {name: {"$schema": DRAFT} | Record(kind).schema() for name, kind in DOCUMENTS.items()}
