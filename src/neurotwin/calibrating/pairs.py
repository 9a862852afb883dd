"""Pairs of plans for virtual patients: what a twin says of their difference, and what it is.

Each patient goes through a protocol up to a cut. From there on it is simulated twice by its own mechanism, under two
plans, without assay error: the outcomes' difference is the truth. The twin sees the noisy record up to the cut.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes, make_episodes
from neurotwin.errors import BundleError, CohortError
from neurotwin.runtime import Predictor
from neurotwin.runtime.answer import draw_quantiles
from neurotwin.runtime.paired import ALIKE
from neurotwin.runtime.tried import size_of, totals_by
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol
from neurotwin.simulators.regimens import Given, Regimen
from neurotwin.simulators.simulate import simulate_plans
from neurotwin.simulators.simulator import Simulator

Array = NDArray[np.float64]
BLOCK = 500
"""Patients that are simulated at a time."""


@dataclass
class Redrawn:
    """A regimen whose draws are those of a plan of its own: two plans of one patient would be alike otherwise."""

    regimen: Regimen
    number: int
    treatment: str

    @property
    def given(self) -> Sequence[float]:
        """All amounts that it may give."""
        return self.regimen.given

    @property
    def duration(self) -> Any:
        """Of a dose; None for boluses."""
        return getattr(self.regimen, "duration", None)

    def draw(self, rng: np.random.Generator, horizon: float) -> Given:
        """The doses of one subject."""
        return self.regimen.draw(np.random.default_rng([int(rng.integers(2**63)), self.number]), horizon)


def drawn_plans(regimens: Sequence[Regimen]) -> dict[str, Sequence[Regimen]]:
    """Two plans of the same regimens, drawn independently."""
    return {name: [Redrawn(one, number, one.treatment) for one in regimens] for number, name in enumerate("ab")}


@dataclass(frozen=True)
class Gaps:
    """Differences ``b - a`` between a patient's two plans, one row for each visit after the cut and channel.

    Attributes:
        subject: number of the patient.
        channel: position among the bundle's variables.
        after: time from the cut.
        truth: of the outcomes.
        low, median, high: of the twin's joint draws.
        size: mean size of the two plans' own medians.
        totals: ``[row, plan, treatment]`` what each plan has given by then.
    """

    subject: NDArray[np.int64]
    channel: NDArray[np.int64]
    after: Array
    truth: Array
    low: Array
    median: Array
    high: Array
    size: Array
    totals: Array

    def __len__(self) -> int:
        return len(self.subject)

    def take(self, rows: NDArray[Any]) -> Self:
        """Some rows."""
        return type(self)(*(getattr(self, item.name)[rows] for item in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One table."""
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


@dataclass(frozen=True)
class Trial:
    """Who is simulated, and under which pairs of plans.

    Attributes:
        protocol: up to the cut.
        plans: regimens of the two plans; times count from the cut.
        cuts: each patient is cut at one of them, in turn.
    """

    simulator: Simulator
    population: Population
    protocol: Protocol
    plans: Mapping[str, Sequence[Regimen]]
    cuts: Sequence[float]
    seed: int


def gaps_of(predictor: Predictor, trial: Trial, n_subjects: int, done: Callable[[int], None] = lambda _: None) -> Gaps:
    """The differences of those patients whom the twin answers about under both plans, within its horizon.

    Args:
        done: told the number of patients after each block.

    Raises:
        SimulationError: as `simulate_plans`.
        CohortError: patients of another schema than the bundle's, or nobody who can be asked about.
        BundleError: the bundle has no joint draws.
    """
    if predictor.n_draws < 2:
        raise BundleError(
            "no joint draws, so no intervals of differences",
            where=str(predictor.bundle.path),
            expected="a model whose draws tell what it leaves open, such as bayes_ode or an ensemble",
        )
    parts = []
    for number, begin in enumerate(range(0, n_subjects, BLOCK)):
        size = min(BLOCK, n_subjects - begin)
        cut = float(trial.cuts[number % len(trial.cuts)])
        seen, true = (
            simulate_plans(
                trial.simulator, trial.population, trial.protocol, plans=trial.plans, cut=cut, n_subjects=size,
                seed=trial.seed, first_subject=begin, noise=noise,
            )
            for noise in (True, False)
        )  # fmt: skip
        check_schema(next(iter(seen.values())), predictor)
        parts.append(_asked(predictor, [*seen.values()], [*true.values()], cut, begin))
        done(size)
    return Gaps.joined(parts)


def check_schema(cohort: Cohort, predictor: Predictor) -> None:
    """Raises CohortError unless the cohort has the bundle's variables, treatments and covariates."""
    for kind in ("variables", "treatments", "statics"):
        theirs, ours = ([(one.name, one.unit) for one in getattr(s, kind)] for s in (cohort.schema, predictor.schema))
        if theirs != ours:
            raise CohortError(
                f"other {kind} than the bundle's",
                where=f"cohort {cohort.schema.name}",
                expected=", ".join(f"{name} ({unit})" for name, unit in ours) or "none",
            )


def _asked(predictor: Predictor, seen: Sequence[Cohort], true: Sequence[Cohort], cut: float, first: int) -> Gaps:
    least, signature, level = predictor.signature.min_visits, predictor.signature, predictor.calibration.level
    reach = min(signature.horizon, float(predictor.calibration.horizons[-1]))
    asked = [make_episodes(cohort, cut, min_visits=least, max_horizon=reach) for cohort in seen]
    one, other = (make_episodes(cohort, cut, min_visits=least, max_horizon=reach)[1] for cohort in true)
    # Both plans are asked about at the same visits.
    queries, kept = asked[0][0].queries, asked[0][2]
    answered, draws = zip(*(_draws(predictor, episodes) for episodes, _, _ in asked), strict=True)
    totals = np.stack([_totals(episodes, len(signature.treatments)) for episodes, _, _ in asked], axis=1)
    low, median, high = draw_quantiles(draws[1] - draws[0], [(1 - level) / 2, 0.5, (1 + level) / 2])
    size = (size_of(draws[0]) + size_of(draws[1])) / 2
    query, channel = one.query, one.variable.astype(np.int64)
    at = (query, channel)
    gaps = Gaps(
        subject=kept[queries.subject[query]].astype(np.int64) + first,
        channel=channel,
        after=queries.time[query] - cut,
        truth=other.value - one.value,
        low=low[at],
        median=median[at],
        high=high[at],
        size=size[at],
        totals=totals[query],
    )
    return gaps.take(np.all(answered, axis=0)[queries.subject[query]] & np.isfinite(gaps.median))


def _draws(predictor: Predictor, episodes: Episodes) -> tuple[NDArray[np.bool_], Array]:
    """``[subject]`` whether the twin answers without a warning, and joint draws ``[query, obs, draw]``.

    It warns of a record unlike those of training, and of doses above theirs.
    """
    signature = predictor.signature
    state, support = predictor.assimilate(episodes.history(signature.max_step))
    plan = episodes.plan(signature.max_step)
    answers = support <= signature.threshold
    for column, channel in enumerate(signature.treatments):
        acting = plan.jump if channel.kind == "bolus" else plan.control
        most = np.inf if channel.trained is None else channel.trained[1]
        answers &= acting[:, :, column].max(axis=1, initial=0.0) <= most * ALIKE
    return answers, predictor.forecast(state, plan)["draws"][episodes.queries.subject, plan.query_row]


def _totals(episodes: Episodes, n_treatments: int) -> Array:
    queries, everyone = episodes.queries, np.arange(len(episodes))
    rows = [
        totals_by(
            episodes.doses.of_subjects(everyone[[subject]]),
            episodes.cut[subject],
            queries.time[queries.subject == subject] - episodes.cut[subject],
            n_treatments,
        )
        for subject in everyone
    ]
    return np.concatenate(rows)
