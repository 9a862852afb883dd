"""Runtime: bundles answer questions about patients, on numpy and onnxruntime alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurotwin.runtime.documents import (
    PatientDocument,
    PlanDocument,
    check_order,
    parse_document,
    read_document,
)
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reasons import INPUT_FAULTS, Reason
from neurotwin.runtime.twin import Twin

if TYPE_CHECKING:
    from neurotwin.runtime.document_schemas import schemas
    from neurotwin.runtime.goals import BudgetDocument, ConstraintsDocument, GoalDocument
    from neurotwin.runtime.policies import AlertPolicyDocument
    from neurotwin.runtime.questions import EventDocument, HorizonDocument, TargetDocument

__all__ = [
    "INPUT_FAULTS",
    "AlertPolicyDocument",
    "BudgetDocument",
    "ConstraintsDocument",
    "EventDocument",
    "GoalDocument",
    "HorizonDocument",
    "PatientDocument",
    "PlanDocument",
    "Predictor",
    "Reason",
    "TargetDocument",
    "Twin",
    "check_order",
    "parse_document",
    "read_document",
    "schemas",
]

LATER = {
    "AlertPolicyDocument": "policies",
    "BudgetDocument": "goals",
    "ConstraintsDocument": "goals",
    "EventDocument": "questions",
    "GoalDocument": "goals",
    "HorizonDocument": "questions",
    "TargetDocument": "questions",
    "schemas": "document_schemas",
}
"""What a forecast needs not, and its first answer should not wait for; by the module that has it."""


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LATER[name]}"), name)
