"""A patient's twin: the state of one patient under one bundle, fed by observations and asked about plans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import DocumentError, TimelineError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime.answer import build_answer
from neurotwin.runtime.asked import Asked, forecast_of
from neurotwin.runtime.differences import Differences, Told, differences
from neurotwin.runtime.documents import PatientDocument, PlanDocument, parse_document
from neurotwin.runtime.lanes import ROW_COST, spread
from neurotwin.runtime.past import Past
from neurotwin.runtime.planned import judge, read_plan
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import SAME, Notes, scale_time
from neurotwin.runtime.reasons import Reason
from neurotwin.runtime.tried import totals_by

Array = NDArray[np.float64]
Patient = PatientDocument | dict[str, Any] | str | bytes
Plan = PlanDocument | dict[str, Any] | str | bytes


class Twin:
    """One patient under one bundle. Not to be shared between threads; the predictor may be.

    The packed state and its clock move forward with each observation; what comes late is put in its place by
    replaying the history, so that the order of arrival never matters. A fault in a document silences the twin for
    good: begin a new one with the corrected record.

    Attributes:
        past: events taken in, and the state that they lead to.
        now: the plan's start, where a document told one.
        notes: what happened to the inputs so far.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.past = predictor, Past(predictor)
        self.id: str | None = None
        self.index_time: str | None = None
        self.now: float | None = None
        self.notes = Notes()

    @classmethod
    def of(cls, predictor: Predictor, patient: Patient) -> Twin:
        """A twin that has seen a patient document. Raises DocumentError when it cannot be read."""
        twin = cls(predictor)
        twin.observe(patient)
        return twin

    def observe(self, patient: Patient) -> Notes:
        """Take in a patient document: covariates, observations and treatments, those of before included or not.

        Returns what happened to the inputs. Raises DocumentError when the document cannot be read, or is that of
        another patient.
        """
        document, notes = parse_document(PatientDocument, patient, "patient"), Notes()
        if self.id not in (None, document.id):
            raise DocumentError(
                "the document of another patient", where="patient: id", expected="the id that the twin began with"
            )
        reader = self.predictor.reader
        factor = reader.time_factor(document.time_unit, "patient", notes)
        if not math.isnan(factor):
            if None not in (self.index_time, document.index_time) and self.index_time != document.index_time:
                notes.refuse(Reason.CONFLICTING_INPUT, "index_time: differs from an earlier document")
            raw = reader.statics_of(document, notes)
            seen = reader.observations_of(document.observations, factor, notes)
            given = reader.doses_of(document.treatments, factor, "", notes)
            self.past.take_in(seen, given, raw, notes)
            self._set_now(document, factor, max([-math.inf, *seen.time.tolist(), *given.time.tolist()]))
        self.id, self.index_time = document.id, self.index_time or document.index_time
        self.notes = self.notes.merged(notes)
        return notes

    def forecast(self, plan: Plan, policy: Any = None) -> dict[str, Any]:
        """The answer for one plan; with a ``policy`` of alerts, degraded where a channel is stuck or stale now.

        Raises DocumentError when the plan or the policy cannot be read.
        """
        item = self.ask([parse_document(PlanDocument, plan, "plan")])[0]
        self._warn(policy, [item])
        return self.answer(item)

    def compare(self, plans: Sequence[Plan], policy: Any = None) -> dict[str, Any]:
        """The answers for several plans and the paired differences between them, all in one batch.

        Raises DocumentError when a plan cannot be read, there are fewer than two, or two share a name; or as
        `forecast` does for a ``policy``.
        """
        parsed = [parse_document(PlanDocument, plan, f"plan {number}") for number, plan in enumerate(plans)]
        if len(parsed) < 2 or len({plan.name for plan in parsed}) < len(parsed):
            raise DocumentError(
                f"{len(parsed)} plans", where="compare", expected="two or more plans with names of their own"
            )
        items = self.ask(parsed)
        self._warn(policy, items)
        spoken = [item for item in items if item.forecast is not None]
        answers = [self.answer(item) for item in items]
        found = self._differences(spoken) if self.predictor.n_draws > 1 else None
        reasons = [Reason.NOT_IDENTIFIED] if found is None else [Reason.EXTRAPOLATION] if found.details else []
        return {
            "plans": answers,
            "differences": None if found is None else found.rows,
            "difference_reasons": [str(reason) for reason in reasons],
            "difference_details": [] if found is None else found.details,
            "counterfactual": self.predictor.signature.counterfactual,
        }

    def risk(self, event: Any, horizon: Any, plan: Plan | None = None) -> dict[str, Any]:
        """Probability that a channel crosses a threshold, and when it first reaches a level that alarms.

        Args:
            event: an `EventDocument`, or what one is parsed from.
            horizon: a `HorizonDocument`: the times at which the threshold is looked at, from the plan's start.
            plan: whose query is not used; without one nothing is planned, and what runs goes on.

        Raises:
            DocumentError: one of them cannot be read, or names a channel that the bundle does not know.
        """
        from neurotwin.runtime.risk import tell_risk

        return tell_risk(self, event, horizon, plan)

    def alerts(self, policy: Any = None) -> dict[str, Any]:
        """What in the record the twin did not expect: each visit is set beside the forecast made at the one before.

        Args:
            policy: an `AlertPolicyDocument`, or what one is parsed from; by default nothing is called stale.

        Raises:
            DocumentError: it cannot be read, or names a channel or a unit that the bundle does not know.
        """
        from neurotwin.runtime.alerts import tell_alerts

        return tell_alerts(self, policy)

    def explain(self, plan: Plan, target: Any) -> dict[str, Any]:
        """How far a channel's forecast moves when one input of the record or the plan is moved, or left out.

        It tells how the model answers, not what causes what in the patient.

        Args:
            target: a `TargetDocument`, or what one is parsed from.

        Raises:
            DocumentError: one of them cannot be read, or names a channel that the bundle does not know.
        """
        from neurotwin.runtime.explain import tell_sensitivity

        return tell_sensitivity(self, plan, target)

    def optimise(self, plan: Plan, goal: Any, constraints: Any, budget: Any = None) -> dict[str, Any]:
        """The front of a goal against a total dose or a risk, over plans like ``plan`` that keep the constraints.

        Raises DocumentError for what cannot be read or kept, ExtraMissingError without the extra ``optimise``.
        """
        from neurotwin.runtime.front import tell_front

        return tell_front(self, plan, goal, constraints, budget)

    def to_dict(self) -> dict[str, Any]:
        """The twin as plain data for JSON: state, clock, history, and the bundle that the state belongs to."""
        from neurotwin.runtime.saved import save  # an answer needs it not

        return save(self)

    @classmethod
    def from_dict(cls, predictor: Predictor, content: dict[str, Any]) -> Twin:
        """Back from `to_dict`. A bundle other than the one that made the state replays the history.

        Raises DocumentError when the content is not what `to_dict` gives.
        """
        from neurotwin.runtime.saved import restore

        twin = cls(predictor)
        restore(twin, content)
        return twin

    @property
    def begin(self) -> float:
        """The plan's start: ``now``, or the last event, the end of a treatment included."""
        return self.past.last_event if self.now is None else self.now

    def ask(self, plans: Sequence[PlanDocument]) -> list[Asked]:
        """Plans with their forecasts (None where the model must not speak), from one run of the graph."""
        items = [read_plan(self, plan) for plan in plans]
        for item in items:
            judge(self, item)
        self.solve([item for item in items if not item.notes.refused])
        return items

    def answer(self, item: Asked) -> dict[str, Any]:
        """What is said about a plan that was asked."""
        begin, past, signature = self.begin, self.past, self.predictor.signature
        plan = {
            "name": item.plan.name,
            "start": begin,
            "time_unit": signature.time_unit,
            "ongoing": item.plan.ongoing,
            "running": item.running,
        }
        return build_answer(
            self.predictor,
            item.notes,
            plan=plan,
            support=self.support(),
            start=begin,
            after=item.after,
            forecast=item.forecast,
            checks=item.checks,
            used=len(past.observations) + len(past.doses) + item.n_planned,
        )

    def support(self) -> dict[str, Any]:
        """How far the patient's state is from those of training, and what it rests on."""
        past, seen = self.past, self.past.observations.time
        return {
            "ood_score": past.support if math.isfinite(past.support) else None,
            "ood_threshold": self.predictor.signature.threshold,
            "n_obs": len(seen),
            "last_obs_age": float(self.begin - seen.max()) if len(seen) else None,
        }

    def _warn(self, policy: Any, items: Sequence[Asked]) -> None:
        if policy is not None:
            from neurotwin.runtime.alerts import warn_signals

            warn_signals(self, policy, [item.notes for item in items])

    def _set_now(self, document: PatientDocument, factor: float, last: float) -> None:
        if document.now is not None:
            self.now = scale_time(document.now, factor)
        elif self.now is not None and last > self.now:
            self.now = None  # told before these events happened

    def _differences(self, items: Sequence[Asked]) -> Differences:
        begin, n = self.begin, len(self.predictor.signature.treatments)
        told = [
            Told(item.plan.name, item.forecast.draws, item.after, totals_by(item.doses, begin, item.after, n))
            for item in items
            if item.forecast is not None and item.forecast.draws is not None and item.after is not None
        ]
        return differences(self.predictor, told, begin)

    def solve(self, items: Sequence[Asked]) -> None:
        """Run the graph once for all plans."""
        past, predictor, n = self.past, self.predictor, len(items)
        if past.state is None or not n:
            return
        doses = Doses.concatenate(
            *(
                replace(item.doses, subject=np.full(len(item.doses), index, np.int32))
                for index, item in enumerate(items)
            )
        )
        # What lies beyond anything that may be asked moves no answer, and is not walked to.
        reach = past.clock + predictor.signature.horizon * (1 + SAME)
        doses = replace(doses, end=np.where(doses.end > reach, np.inf, doses.end)).take(doses.time <= reach)
        tells = bool(predictor.signature.outcomes)
        # Risks are those of a patient who is alive at the plan's start: it is asked about too, first of each plan.
        first = [self.begin] if tells else []
        asked = [np.r_[first, self.begin + item.after] for item in items if item.after is not None]
        queries = Queries.of(np.repeat(np.arange(n), [len(times) for times in asked]), np.concatenate(asked))
        try:
            timeline = past.timeline(np.full(n, past.clock), Observations.of([], [], [], []), doses, queries)
        except TimelineError:
            if n == 1:
                items[0].notes.refuse(Reason.IMPLAUSIBLE_INPUT, "plan: more events than can be walked")
            for item in items if n > 1 else ():
                self.solve([item])
            return
        row_cost = ROW_COST if predictor.signature.distilled is None else 0  # a flow map walks no rows
        wide, lanes, member = spread(timeline, queries.subject, predictor.n_draws, row_cost)
        found = predictor.forecast(np.repeat(past.state, n * lanes, axis=0), wide)
        for index, item in enumerate(items):
            place = (member[queries.subject == index], wide.query_row[queries.subject == index])
            raw = forecast_of(predictor, {name: values[place] for name, values in found.items()})
            own = timeline.take(np.array([index]))
            predictor.reader.judge_totals(own, "plan.", item.notes)
            if predictor.signature.distilled is not None and item.after is not None:
                ahead = self.begin - past.clock + item.after
                for reason, at in predictor.signature.distilled.doubts(own, ahead, predictor.signature.time_unit):
                    item.notes.warn(reason, at)
            item.settle(predictor, raw)
