"""The scorer: forecasts of a part of a cohort, in batches, by the rules that `Twin` keeps for one patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.bundle import Bundle
from neurotwin.errors import BundleError, IntegrityError, TimelineError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.runtime.predictor import Predictor
from neurotwin.runtime.reasons import Reason
from neurotwin.score.answers import Answers, settle
from neurotwin.score.job import RECORDED, Job, Part
from neurotwin.score.matching import Matching
from neurotwin.score.plans import CommonPlan, judge_times
from neurotwin.score.ranges import judge_totals
from neurotwin.score.records import Records, read_records
from neurotwin.score.slices import CohortReader
from neurotwin.score.verdicts import Verdicts
from neurotwin.timeline import Timeline, build_timeline

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mark = Callable[[Sequence[int]], None]
"""Told which subjects of the part are worked on from now on: a sign of life, and a hint at who ended it."""
MOST_CELLS = 4_000_000
"""Cells of a batch's padded tables, so that long records do not fill the memory."""


@dataclass(frozen=True)
class Scored:
    """What became of a part: answers, and why some subjects have none."""

    answers: Answers
    quarantined: tuple[tuple[str, str], ...]


class Scorer:
    """Scores parts with one bundle. Not to be shared between threads."""

    def __init__(self, job: Job, predictor: Predictor) -> None:
        self.job, self.predictor = job, predictor
        self.reader = CohortReader(Path(job.cohort), job.cohort_sha256)
        self.matching = Matching.of(self.reader.schema, predictor.signature)
        self.plan = CommonPlan.of(job.plan, predictor)
        self.after = np.array(job.after)

    @classmethod
    def load(cls, job: Job) -> Scorer:
        """With the bundle as it lies on this machine, its golden cases answered.

        Raises IntegrityError when that is not the bundle of the job.
        """
        predictor = Predictor(Bundle.load(job.bundle))
        if predictor.bundle.sha256 != job.bundle_sha256:
            raise IntegrityError(
                f"this worker's bundle has sha256 {predictor.bundle.sha256[:12]}",
                where=job.bundle,
                expected=f"{job.bundle_sha256[:12]}, that of the run",
                remedy="put the same bundle on every machine",
            )
        predictor.check_golden()
        return cls(job, predictor)

    def score(
        self,
        part: Part,
        mark: Mark = lambda members: None,
        excluded: Mapping[int, str] | None = None,
        alone: Index | None = None,
    ) -> Scored:
        """Answers for a part's subjects.

        Args:
            mark: called before each batch.
            excluded: subjects of the part that are left out, and why; of the others no number changes.
            alone: only these, each in a batch of its own.
        """
        mark(())
        subjects = self.reader.read(part)
        n, signature = len(subjects), self.predictor.signature
        verdicts = Verdicts(n)
        recorded = self.job.plan == RECORDED
        records = read_records(subjects, self.matching, signature, self.job.cut, verdicts, recorded=recorded)
        self.plan.note(verdicts)
        ahead = self.plan.ahead(records, signature, verdicts)
        judge_times(records, self.after, self.predictor, verdicts)
        answers = Answers.empty(subjects.ids, records.cut, self.after, self.predictor, verdicts)
        unfit = {int(row): str(records.unfit[row]) for row in np.flatnonzero(records.unfit != "")}
        left_out = {**unfit, **(excluded or {})}
        chosen = np.setdiff1d(np.arange(n), np.array(list(left_out), np.int64))
        if alone is not None:
            chosen = np.intersect1d(chosen, alone)
        faults: dict[int, str] = {}
        for members in self._batches(records, ahead, chosen, single=alone is not None):
            mark(members.tolist())
            self._answer(members, records, ahead, answers, verdicts, faults)
        told = {**left_out, **faults}
        quarantined = tuple((str(subjects.ids[row]), told[row]) for row in sorted(told))
        return Scored(answers.of(np.setdiff1d(chosen, np.array(list(faults), np.int64))), quarantined)

    def _batches(self, records: Records, ahead: Doses, chosen: Index, *, single: bool) -> Iterator[Index]:
        """Subjects with records of like length together. Who is with whom does not depend on who is left out."""
        signature, n = self.predictor.signature, len(records.cut)
        events = np.bincount(records.observations.subject, minlength=n) + np.bincount(
            records.given.subject, minlength=n
        )
        walked = events + np.ceil((records.clock - records.first) / signature.max_step)
        planned = 2 * np.bincount(ahead.subject, minlength=n) + np.ceil(self.after.max() / signature.max_step)
        order = np.argsort(walked, kind="stable")
        columns = 3 * len(signature.variables) + (2 + signature.n_draws) * len(signature.treatments) + 4
        wanted = np.zeros(n, dtype=bool)
        wanted[chosen] = True
        first = 0
        while first < n:
            longest = np.maximum(walked, planned)[order[first : first + self.job.batch]]
            fits = np.maximum.accumulate(longest) * columns * np.arange(1, len(longest) + 1) <= MOST_CELLS
            size = 1 if single else max(1, int(np.argmin(fits)) if not fits.all() else len(fits))
            members = order[first : first + size]
            first += size
            if wanted[members].any():
                yield members[wanted[members]]

    def _answer(
        self,
        members: Index,
        records: Records,
        ahead: Doses,
        answers: Answers,
        verdicts: Verdicts,
        faults: dict[int, str],
    ) -> None:
        """One batch. Where it cannot be run it is halved, down to the subject who is the cause."""
        try:
            self._run(members, records, ahead, answers, verdicts)
        except (TimelineError, BundleError) as error:
            if len(members) > 1:
                for half in np.array_split(members, 2):
                    self._answer(half, records, ahead, answers, verdicts, faults)
            elif isinstance(error, TimelineError):  # more time between events than can be walked
                verdicts.refuse(Reason.IMPLAUSIBLE_INPUT, members)
            else:
                faults[int(members[0])] = "the graph cannot be run on its record"

    def _run(self, members: Index, records: Records, ahead: Doses, answers: Answers, verdicts: Verdicts) -> None:
        members, signature = _two_at_least(members), self.predictor.signature
        given = records.given.of_subjects(members)
        given = replace(given, end=np.where(given.end > records.clock[members][given.subject], np.inf, given.end))
        seen = records.observations.of_subjects(members)
        past = self._timeline(records, members, records.first[members], seen, given)
        self._judge_totals(past, members, verdicts)
        state, support = self.predictor.assimilate(past)
        few = records.visits[members] + records.unread[members] < signature.min_visits
        verdicts.refuse(Reason.TOO_FEW_OBSERVATIONS, members[few])
        verdicts.refuse(Reason.OOD, members[~(support <= signature.threshold)])
        spoken = np.flatnonzero(~verdicts.silent[members])
        if not len(spoken):
            return
        spoken = _two_at_least(spoken)
        asked, state = members[spoken], state[spoken]
        told = bool(signature.outcomes)
        times = records.cut[asked][:, None] + (np.r_[0.0, self.after] if told else self.after)
        queries = Queries.of(np.repeat(np.arange(len(asked)), times.shape[1]), times.ravel())
        nothing = Observations.of([], [], [], [])
        plan = self._timeline(records, asked, records.clock[asked], nothing, ahead.of_subjects(asked), queries)
        self._judge_totals(plan, asked, verdicts)
        walked = _up_to(plan, int(plan.query_row.max()) + 1)
        found = self.predictor.forecast(state, walked)
        place = (queries.subject, plan.query_row)
        shape = (len(asked), times.shape[1])
        raw = {name: values[place].reshape(*shape, *values.shape[2:]) for name, values in found.items()}
        if signature.distilled is not None:
            self._doubt(plan, asked, records, verdicts)
        settle(self.predictor, raw, asked, answers, verdicts)

    def _timeline(
        self,
        records: Records,
        members: Index,
        start: Array,
        observations: Observations,
        doses: Doses,
        queries: Queries | None = None,
    ) -> Timeline:
        signature = self.predictor.signature
        static, mask = signature.encode_statics(records.statics[members])
        return build_timeline(
            start=start,
            static=static,
            static_mask=mask,
            n_variables=len(signature.variables),
            n_treatments=len(signature.treatments),
            observations=observations,
            doses=doses,
            queries=Queries.of() if queries is None else queries,
            max_step=signature.max_step,
        )

    def _judge_totals(self, timeline: Timeline, members: Index, verdicts: Verdicts) -> None:
        channels = self.predictor.signature.treatments
        if channels:
            tables = [timeline.jump if channel.kind == "bolus" else timeline.control for channel in channels]
            total = np.stack([table[:, :, index].max(axis=1) for index, table in enumerate(tables)], axis=1)
            judge_totals(total, channels, members, verdicts)

    def _doubt(self, plan: Timeline, members: Index, records: Records, verdicts: Verdicts) -> None:
        distilled, unit = self.predictor.signature.distilled, self.predictor.signature.time_unit
        for row, subject in enumerate(members.tolist()):
            if distilled is not None:
                waited = records.cut[subject] - records.clock[subject]
                for reason, _ in distilled.doubts(plan.take(np.array([row])), waited + self.after, unit):
                    verdicts.warn(reason, np.array([subject]))


def _two_at_least(index: Index) -> Index:
    """One is run as two alike: graphs have kernels for a single row, whose last bits may be others."""
    return np.repeat(index, 2) if len(index) == 1 else index


def _up_to(plan: Timeline, n_rows: int) -> Timeline:
    """Without the rows after the last one that is asked about."""
    tables: dict[str, Any] = {
        name: getattr(plan, name)[:, :n_rows] for name in ("dt", "control", "jump", "query_at", "peek")
    }
    return replace(plan, **tables)
