"""Informative dropout: lines whose hazard of leaving follows the true value, which nobody sees without noise."""

from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.episodes import Episodes
from neurotwin.events import Doses, Observations, Queries
from neurotwin.follow_up import FollowUp
from neurotwin.recipes import load_run
from neurotwin.schema import Outcome, Schema, Variable
from neurotwin.simulators.event_times import draw_follow_up
from neurotwin.train import main as train
from neurotwin.training import SurrogatePredictor

SPAN, CUT, AHEAD = 6.0, 1.0, (1.0, 2.0, 4.0)
EFFECTS = {"dropout follows the value": 1.5, "dropout at random": 0.0}
NOISE = 0.5
MODELS: dict[str, tuple[str, ...]] = {"without hazards": (), "with hazards": ("+hazards@model.hazards=linear",)}
COMMON = (
    *("trainer=cpu", "callbacks.progress=null", "solver@model.solver=midpoint", "model.solver.max_step=1.0"),
    *("model.memory=3", "model.hidden=16", "model.draws=8", "loss.absolute=0.0"),
    *("data.batch_size=32", "optimizer.lr=0.01"),
)


def lines(n: int, effect: float, seed: int) -> tuple[Cohort, np.ndarray, np.ndarray]:
    """A cohort, and the true level and slope ``[subject]`` of each line; seen twice a year until it leaves."""
    rng = np.random.default_rng(seed)
    level, slope = rng.normal(0.0, 0.5, n), rng.normal(0.0, 0.7, n)
    grid = np.linspace(0.0, SPAN, 301)
    true = level[:, None] + slope[:, None] * grid
    follow_up = draw_follow_up(grid, np.exp(-2.0 + effect * true)[..., None], rng)
    if not effect:  # as many leave, whoever they are
        follow_up = draw_follow_up(grid, np.full((n, len(grid), 1), 0.25), rng)
    visits = np.arange(0.0, SPAN, 0.5)
    subject, number = np.nonzero(visits[None, :] <= follow_up.time[:, None])
    value = (level[:, None] + slope[:, None] * visits)[subject, number] + rng.normal(0.0, NOISE, len(subject))
    schema = Schema(
        name="lines",
        time_unit="a",
        variables=(Variable(name="value", unit="1"),),
        outcomes=(Outcome(name="dropout"),),
    )
    cohort = Cohort.build(
        schema,
        [f"p{one:05d}" for one in range(n)],
        np.zeros((n, 0)),
        Observations.of(subject, visits[number], 0, value),
        Doses.of(),
        split_key="lines",
        follow_up=FollowUp.of(follow_up.time, follow_up.event),
        provenance={"simulator": "lines"},
    )
    return cohort, level, slope


def ask(cohort: Cohort, kept: np.ndarray) -> Episodes:
    """What the first visits tell, asked at times at which some have left."""
    past = cohort.observations.take(cohort.observations.time <= CUT).of_subjects(kept)
    n = len(kept)
    times = CUT + np.tile(AHEAD, n)
    return Episodes(
        schema=cohort.schema,
        static=np.zeros((n, 0)),
        static_mask=np.zeros((n, 0)),
        start=np.zeros(n),
        cut=np.full(n, CUT),
        observations=past,
        doses=Doses.of(),
        queries=Queries.of(np.repeat(np.arange(n), len(AHEAD)), times),
    )


def study(root: Path, *, subjects: int, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Rows: bias and error of the forecast of the true value, of all who were there at the cut."""
    rows = []
    for kind, effect in EFFECTS.items():
        gaps: dict[str, list[np.ndarray]] = {name: [] for name in MODELS}
        stayed = []
        for seed in range(seeds):
            cohort, level, slope = lines(subjects, effect, seed)
            folder = root / f"lines-{effect:g}-{seed}"
            if not (folder / "cohort.json").exists():
                cohort.save(folder)
            kept = np.flatnonzero((cohort.fold == 4) & (cohort.follow_up.time > CUT))
            episodes = ask(cohort, kept)
            truth = level[kept][:, None] + slope[kept][:, None] * (CUT + np.array(AHEAD))
            stayed.append(cohort.follow_up.time[kept][:, None] >= CUT + np.array(AHEAD))
            for name, more in MODELS.items():
                run = root / f"run-{effect:g}-{seed}-{name.split()[0]}"
                arguments = [f"data.cohort={folder}", f"paths.output_dir={run}", f"trainer.max_epochs={epochs}"]
                if not (run / "metrics.json").exists() and train([*arguments, *COMMON, *more]):
                    raise SystemExit(f"{run} did not train")
                found = SurrogatePredictor(load_run(run)[0])(episodes).draws
                gaps[name].append(found[:, 0].mean(-1).reshape(-1, len(AHEAD)) - truth)
        first = np.concatenate(next(iter(gaps.values())))
        for name, parts in gaps.items():
            paired = np.concatenate(parts) - first
            for number in range(len(AHEAD)):
                row = _row(kind, name, number, parts, np.concatenate(stayed))
                rows.append(row | dict(zip(LESS, _mean(paired[:, number]), strict=True)))
    return rows


LESS = ("bias_less_without", "bias_less_without_low", "bias_less_without_high")


def _mean(gap: np.ndarray) -> tuple[float, float, float]:
    """Mean over subjects with the 95 % interval of a bootstrap over them."""
    rng = np.random.default_rng(0)
    low, high = np.quantile(gap[rng.integers(0, len(gap), (1000, len(gap)))].mean(1), [0.025, 0.975])
    return float(gap.mean()), float(low), float(high)


def _row(kind: str, name: str, number: int, parts: list[np.ndarray], stayed: np.ndarray) -> dict[str, Any]:
    gap, here = np.concatenate(parts)[:, number], stayed[:, number]
    mean, low, high = _mean(gap)
    return {
        "part": "dropout",
        "dropout": kind,
        "model": name,
        "ahead": AHEAD[number],
        "n_subjects": len(gap),
        "share_left": float(1 - here.mean()),
        "bias": mean,
        "bias_low": low,
        "bias_high": high,
        "bias_by_seed": [float(part[:, number].mean()) for part in parts],
        "bias_of_who_stayed": float(gap[here].mean()),
        "rmse": float(np.sqrt((gap**2).mean())),
    }
