"""What is given to many subjects from their cut on: nothing, one plan for all, or what the record tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.events import Doses
from neurotwin.runtime.channels import Signature
from neurotwin.runtime.documents import PlanDocument, parse_document
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import SAME, Notes
from neurotwin.runtime.reasons import Reason
from neurotwin.score.job import RECORDED, UNTREATED
from neurotwin.score.records import Records, overlapping
from neurotwin.score.verdicts import Verdicts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CommonPlan:
    """A plan as every subject gets it.

    Attributes:
        doses: of one subject, from the plan's start, in the bundle's units; none where the plan is the record.
        stops: whether what runs at the cut ends there.
        notes: what is wrong with the plan itself, and so with every answer.
    """

    doses: Doses
    stops: bool
    notes: Notes

    @classmethod
    def of(cls, plan: str | dict[str, Any], predictor: Predictor) -> CommonPlan:
        """Of a job's plan. Raises DocumentError."""
        if plan in (RECORDED, UNTREATED):
            return cls(Doses.of(), plan == UNTREATED, Notes())
        document, notes, reader = parse_document(PlanDocument, plan, "plan"), Notes(), predictor.reader
        factor = reader.time_factor(document.time_unit, "plan", notes)
        doses = reader.doses_of(document.treatments, factor, "plan.", notes, planned=True)
        return cls(doses, document.ongoing == "stop", notes)

    def note(self, verdicts: Verdicts) -> None:
        """On every subject."""
        for reason in self.notes.refused:
            verdicts.refuse(reason, slice(None))
        for reason in self.notes.warned:
            verdicts.warn(reason, slice(None))

    def ahead(self, records: Records, signature: Signature, verdicts: Verdicts) -> Doses:
        """All that acts after each subject's clock, as `neurotwin.runtime.planned.read_plan` has it."""
        given, cut, clock = records.given, records.cut, records.clock
        held = given.take(~given.is_bolus & (given.end > clock[given.subject]))
        if self.stops:
            held = replace(held, end=np.minimum(held.end, cut[held.subject]))
            held = held.take(held.end > np.maximum(held.time, clock[held.subject]))
        n, each = len(cut), len(self.doses)
        begin = np.repeat(cut, each)
        planned = Doses.of(
            np.repeat(np.arange(n), each),
            np.tile(self.doses.time, n) + begin,
            np.tile(self.doses.end, n) + begin,
            np.tile(self.doses.treatment, n),
            np.tile(self.doses.amount, n),
        )
        doses = Doses.concatenate(held, planned, records.planned)
        overlapping(doses, signature, verdicts)
        # What lies beyond anything that may be asked moves no answer, and is not walked to.
        reach = (clock + signature.horizon * (1 + SAME))[doses.subject]
        return replace(doses, end=np.where(doses.end > reach, np.inf, doses.end)).take(doses.time <= reach).by_subject()


def judge_times(records: Records, after: Array, predictor: Predictor, verdicts: Verdicts) -> None:
    """Whether the times asked about lie where the model was trained, counted from each subject's clock."""
    signature, limit, ahead = predictor.signature, float(predictor.calibration.horizons[-1]), float(after.max())
    waited = records.cut - records.clock
    late = waited + ahead > signature.horizon * (1 + SAME)
    verdicts.refuse(Reason.HORIZON_TOO_LONG, late | (ahead > limit))
