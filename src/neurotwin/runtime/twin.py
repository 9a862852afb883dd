"""A patient's twin: the state of one patient under one bundle, fed by observations and asked about plans."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.episodes import Forecast
from neurotwin.errors import DocumentError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime.answer import build_answer, check_output, differences
from neurotwin.runtime.documents import PatientDocument, PlanDocument, parse_document
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reading import Notes
from neurotwin.runtime.reasons import Reason
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]


class Twin:
    """One patient under one bundle.

    The packed state and its clock move forward with each observation; what comes late is put in its place by
    replaying the history, so that the order of arrival never matters.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.observations, self.doses = Observations.of([], [], [], []), Doses.of()
        self.statics = np.full((1, len(predictor.schema.statics)), np.nan)
        self.now: float | None = None
        self.clock = 0.0
        self.state: NDArray[np.float32] | None = None
        self.support = float("nan")
        self.notes = Notes()

    @classmethod
    def of(cls, predictor: Predictor, patient: PatientDocument | dict[str, Any] | str | bytes) -> "Twin":
        """A twin that has seen a patient document. Raises DocumentError when it cannot be read."""
        twin = cls(predictor)
        twin.observe(patient)
        return twin

    def observe(self, patient: PatientDocument | dict[str, Any] | str | bytes) -> Notes:
        """Take in a patient document: covariates, observations and treatments, those of before included or not.

        Returns what happened to the inputs. Raises DocumentError when the document cannot be read.
        """
        patient = parse_document(PatientDocument, patient, "patient")
        reader, notes = self.predictor.reader, Notes()
        factor = reader.time_factor(patient.time_unit, "patient", notes)
        raw = reader.statics_of(patient, notes)
        if np.isnan(factor):
            self.notes = self.notes.merged(notes)
            return notes
        seen = reader.observations_of(patient.observations, factor, notes)
        given = reader.doses_of(patient.treatments, factor, "", notes)
        if patient.now is not None:
            self.now = patient.now * factor
        self._take_in(seen, given, raw)
        self.notes = self.notes.merged(notes)
        return notes

    def forecast(self, plan: PlanDocument | dict[str, Any] | str | bytes) -> dict[str, Any]:
        """The answer for one plan. Raises DocumentError when the plan cannot be read."""
        answer, _ = self._ask([parse_document(PlanDocument, plan, "plan")])
        return answer[0]

    def compare(self, plans: Sequence[PlanDocument | dict[str, Any] | str | bytes]) -> dict[str, Any]:
        """The answers for several plans and the paired differences between them, all in one batch.

        Raises DocumentError when a plan cannot be read, there are fewer than two, or two share a name.
        """
        parsed = [parse_document(PlanDocument, plan, f"plan {number}") for number, plan in enumerate(plans)]
        if len(parsed) < 2 or len({plan.name for plan in parsed}) < len(parsed):
            raise DocumentError(f"{len(parsed)} plans", where="compare", expected="two or more plans with names of their own")
        answers, draws = self._ask(parsed)
        spoken = [index for index, found in enumerate(draws) if found is not None]
        identified = self.predictor.n_draws > 1
        times = [np.array(sorted({row["t"] for row in answer["prediction"] or []})) for answer in answers]
        level = self.predictor.calibration.level
        known = differences(self.predictor, [parsed[i].name for i in spoken], [d for d in draws if d is not None], [times[i] for i in spoken], level)
        return {
            "plans": answers,
            "differences": known if identified else None,
            "difference_reasons": [] if identified else [str(Reason.NOT_IDENTIFIED)],
            "counterfactual": self.predictor.bundle.signature["counterfactual"],
        }

    @property
    def n_visits(self) -> int:
        """Distinct times of observation."""
        return len(np.unique(self.observations.time))

    def _take_in(self, seen: Observations, given: Doses, raw: Array) -> None:
        known_static = np.isfinite(raw)
        changed = bool((known_static & (raw != self.statics)).any())
        self.statics = np.where(known_static, raw, self.statics)
        seen, given = _new_rows(seen, self.observations), _new_rows(given, self.doses)
        ahead = (seen.time > self.clock).all() and (given.time >= self.clock).all()
        self.observations = Observations.concatenate(self.observations, seen)
        self.doses = Doses.concatenate(self.doses, given)
        if self.state is None or changed or not ahead:
            first = min([0.0, *self.observations.time.tolist(), *self.doses.time.tolist()])
            timeline = self._timeline(first, self.observations, self.doses)
            self.state, support = self.predictor.assimilate(timeline)
        else:
            running = self.doses.take(~self.doses.is_bolus & (self.doses.end > self.clock))
            fresh = Doses.concatenate(given.take(given.is_bolus), running)
            timeline = self._timeline(self.clock, seen, fresh)
            self.state, support = self.predictor.assimilate(timeline, self.state)
        self.clock, self.support = float(timeline.clock[0]), float(support[0])

    def _timeline(self, start: float, observations: Observations, doses: Doses) -> Timeline:
        schema = self.predictor.schema
        static, mask = schema.encode_statics(self.statics)
        # A stop that lies ahead of everything seen is not an event yet.
        last = max([start, *observations.time.tolist(), *doses.time.tolist()])
        ahead = doses.end > last
        doses = replace(doses, end=np.where(ahead, np.inf, doses.end))
        return build_timeline(
            start=np.array([start]), static=static, static_mask=mask, n_variables=len(schema.variables),
            n_treatments=len(schema.treatments), observations=observations, doses=doses, queries=Queries.of(),
            max_step=self.predictor.max_step,
        )  # fmt: skip

    def _ask(self, plans: Sequence[PlanDocument]) -> tuple[list[dict[str, Any]], list[Array | None]]:
        """Answers and draws (None where the model must not speak) of all plans, from one run of the graph."""
        begin = self.clock if self.now is None else self.now
        asked = [self._read_plan(plan, begin) for plan in plans]
        for item in asked:
            self._judge(item, begin)
        spoken = [item for item in asked if not item.notes.refused]
        if spoken:
            self._solve(spoken, begin)
        answers = [self._answer(item, begin) for item in asked]
        return answers, [None if item.forecast is None else item.forecast.draws for item in asked]

    def _read_plan(self, plan: PlanDocument, begin: float) -> "_Asked":
        notes = Notes().merged(self.notes)
        factor = self.predictor.reader.time_factor(plan.time_unit, "plan", notes)
        if np.isnan(factor):
            return _Asked(plan, notes, Doses.of(), np.zeros(0))
        doses = self.predictor.reader.doses_of(plan.treatments, factor, "plan.", notes)
        doses = replace(doses, time=doses.time + begin, end=doses.end + begin)
        past = self.doses.take(~self.doses.is_bolus & (self.doses.end > self.clock))
        if plan.ongoing == "stop":
            past = replace(past, end=np.minimum(past.end, begin))
            past = past.take(past.end > np.maximum(past.time, self.clock))
        return _Asked(plan, notes, Doses.concatenate(past, doses), np.array(plan.query.times()) * factor + begin)

    def _judge(self, item: "_Asked", begin: float) -> None:
        """Reasons to stay silent that are known before the graph runs."""
        notes, predictor = item.notes, self.predictor
        if self.state is None:
            notes.refuse(Reason.MISSING_REQUIRED, "patient")
        if self.n_visits < predictor.min_visits:
            notes.refuse(Reason.TOO_FEW_OBSERVATIONS, f"patient: {self.n_visits} visits, {predictor.min_visits} needed")
        if self.now is not None and len(self.observations) and self.observations.time.max() > self.now:
            notes.refuse(Reason.FUTURE_DATED, "patient.observations")
        if begin < self.clock:
            notes.refuse(Reason.FUTURE_DATED, "patient.now")
        if not len(item.times) or item.times.min() < begin or item.times.max() <= begin:
            notes.refuse(Reason.MISSING_REQUIRED, "plan.query: no time after the plan's start")
        elif item.times.max() - self.clock > predictor.horizon:
            notes.refuse(Reason.HORIZON_TOO_LONG, f"plan.query: trained for {predictor.horizon:g} {predictor.schema.time_unit}")
        if not self.support <= predictor.threshold:
            notes.refuse(Reason.OOD, "patient")

    def _solve(self, items: list["_Asked"], begin: float) -> None:
        schema, n = self.predictor.schema, len(items)
        static, mask = schema.encode_statics(np.repeat(self.statics, n, axis=0))
        numbered = [replace(item.doses, subject=np.full(len(item.doses), index, np.int32)) for index, item in enumerate(items)]
        queries = Queries.of(np.concatenate([np.full(len(item.times), index) for index, item in enumerate(items)]),
                             np.concatenate([item.times for item in items]))  # fmt: skip
        timeline = build_timeline(
            start=np.full(n, self.clock), static=static, static_mask=mask, n_variables=len(schema.variables),
            n_treatments=len(schema.treatments), observations=Observations.of([], [], [], []), doses=Doses.concatenate(*numbered),
            queries=queries, max_step=self.predictor.max_step,
        )  # fmt: skip
        if self.state is None:
            return
        found = self.predictor.forecast(np.repeat(self.state, n, axis=0), timeline)
        for index, item in enumerate(items):
            own = queries.subject == index
            place = (np.full(int(own.sum()), index), timeline.query_row[own])
            raw = Forecast(self.predictor.levels, found["quantiles"][place], found["draws"][place])
            calibrated = self.predictor.calibration.apply(raw, item.times - begin, schema)
            item.checks = check_output(self.predictor, calibrated, item.notes)
            item.forecast = None if item.notes.refused else calibrated

    def _answer(self, item: "_Asked", begin: float) -> dict[str, Any]:
        plan = {"name": item.plan.name, "start": begin, "time_unit": self.predictor.schema.time_unit, "ongoing": item.plan.ongoing}
        seen = self.observations.time
        support = {
            "ood_score": None if np.isnan(self.support) else self.support, "ood_threshold": self.predictor.threshold,
            "n_obs": len(self.observations), "last_obs_age": float(begin - seen.max()) if len(seen) else None,
        }  # fmt: skip
        return build_answer(
            self.predictor, item.notes, plan=plan, support=support, times=item.times, start=begin, forecast=item.forecast,
            horizon=item.times - begin, checks=item.checks,
        )  # fmt: skip


@dataclass
class _Asked:
    """One plan on its way to an answer."""

    plan: PlanDocument
    notes: Notes
    doses: Doses
    times: Array
    checks: dict[str, bool] | None = None
    forecast: Forecast | None = None

    def __post_init__(self) -> None:
        self.checks = self.checks or {}


def _new_rows(rows: Any, known: Any) -> Any:
    """Rows that are not there yet, so that a document may repeat what was observed before."""
    old = set(_keys(known))
    return rows.take(np.array([key not in old for key in _keys(rows)], dtype=bool))


def _keys(table: Any) -> list[tuple[Any, ...]]:
    """One comparable tuple per row; a bolus has no end, and NaN equals nothing."""
    columns = (np.nan_to_num(column, nan=-1.0, posinf=np.inf).tolist() for column in vars(table).values())
    return list(zip(*columns, strict=True))
