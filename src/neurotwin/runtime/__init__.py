"""Runtime: bundles answer questions about patients, on numpy and onnxruntime alone."""

from neurotwin.runtime.documents import PatientDocument, PlanDocument, parse_document, read_document
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reasons import INPUT_FAULTS, Reason
from neurotwin.runtime.twin import Twin

__all__ = ["INPUT_FAULTS", "PatientDocument", "PlanDocument", "Predictor", "Reason", "Twin", "parse_document", "read_document"]
