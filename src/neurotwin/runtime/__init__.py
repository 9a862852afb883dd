"""Runtime: bundles answer questions about patients, on numpy and onnxruntime alone."""

from neurotwin.runtime.documents import (
    PatientDocument,
    PlanDocument,
    check_order,
    parse_document,
    read_document,
)
from neurotwin.runtime.goals import BudgetDocument, ConstraintsDocument, GoalDocument
from neurotwin.runtime.policies import AlertPolicyDocument
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.questions import EventDocument, HorizonDocument, TargetDocument
from neurotwin.runtime.reasons import INPUT_FAULTS, Reason
from neurotwin.runtime.schemas import schemas
from neurotwin.runtime.twin import Twin

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
