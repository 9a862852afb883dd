"""PBC: five folds by the hash of the key, models trained on the other four, everybody scored once."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.cohort import N_FOLDS, Cohort
from neurotwin.evaluation.event_baselines import BaseRate, LandmarkCox, landmark
from neurotwin.evaluation.events import score_events
from neurotwin.follow_up import FollowUp
from neurotwin.landmarks import risks_of
from neurotwin.recipes import load_run
from neurotwin.train import main as train
from neurotwin.training import SurrogatePredictor

LANDMARK, MIN_VISITS = 400.0, 2
HORIZONS = np.array([365.0, 1095.0, 1825.0])
GRID = np.unique(np.r_[HORIZONS, np.linspace(0, HORIZONS[-1], 21)[1:]])
MODEL, MEAN = "neural_ode", "mean_of_both"
MEMBERS = {"neural_ode": ("+hazards@model.hazards=linear",)}
"""Configurations, each fixed before anything was scored."""
SHARED = (
    *("experiment=pbc_liver", "trainer=cpu", "callbacks.progress=null", "trainer.max_epochs=20"),
    *("model.dropout=0.3", "model.draws=4", "model.solver.max_step=365.0", "data.batch_size=64", "optimizer.lr=0.006"),
)


def member(cohort: Cohort, fold: int, inner: int, name: str, root: Path, more: tuple[str, ...]) -> Path:
    """A run whose test part is ``fold`` and whose validation part is ``inner``; kept where it stands."""
    folder = root / f"{name}-{fold}-{inner}"
    if (folder / "metrics.json").exists():
        return folder
    others = [one for one in range(N_FOLDS) if one not in (fold, inner)]
    place = {fold: 4, inner: 3} | {one: number for number, one in enumerate(others)}
    part = root / f"cohort-{fold}-{inner}"
    if not (part / "cohort.json").exists():
        folds = np.array([place[int(one)] for one in cohort.fold], dtype=np.int8)
        replace(cohort, fold=folds).save(part)
    begun = time.process_time()
    arguments = [*SHARED, f"data.cohort={part}", f"paths.output_dir={folder}", f"seed={1 + inner}", *more]
    if train([*arguments, *MEMBERS[name]]):
        raise SystemExit(f"{folder} did not train")
    (folder / "seconds.json").write_text(json.dumps(time.process_time() - begun))
    return folder


def risks(cohort: Cohort, root: Path, names: list[str], inners: int, more: tuple[str, ...]) -> dict[str, Any]:
    """Risks ``[subject, grid, outcome]`` by predictor, the ends of follow-up, and processor seconds of training."""
    found: dict[str, list[np.ndarray]] = {}
    ends: list[FollowUp] = []
    seconds: dict[str, float] = dict.fromkeys(names, 0.0)
    for fold in range(N_FOLDS):
        test, rest = cohort.take(cohort.fold == fold), cohort.take(cohort.fold != fold)
        cuts = np.full(len(rest), LANDMARK)
        episodes, end, _ = landmark(test, np.full(len(test), LANDMARK), min_visits=MIN_VISITS)
        asked, shape = risks_of(episodes, GRID), (len(episodes), len(GRID), -1)
        ends.append(end)
        fits = {"base_rate": BaseRate.fit, "landmark_cox": LandmarkCox.fit}
        answers = {name: fit(rest, cuts, min_visits=MIN_VISITS)(asked) for name, fit in fits.items()}
        for name in names:
            folders = [member(cohort, fold, (fold + 1 + step) % N_FOLDS, name, root, more) for step in range(inners)]
            told = [SurrogatePredictor(load_run(folder)[0])(asked).incidence for folder in folders]
            answers[name] = np.mean(told, axis=0)
            seconds[name] += sum(json.loads((folder / "seconds.json").read_text()) for folder in folders)
        if names:
            answers[MEAN] = (answers[names[0]] + answers["landmark_cox"]) / 2
        for name, risk in answers.items():
            found.setdefault(name, []).append(risk.reshape(shape))
        print(f"fold {fold}: {len(episodes)} patients", flush=True)
    return {
        "risks": {name: np.concatenate(parts) for name, parts in found.items()},
        "ends": FollowUp.concatenate(*ends),
        "fold": np.repeat(np.arange(N_FOLDS), [len(end) for end in ends]),
        "seconds": seconds,
    }


def judge(cohort: Cohort, asked: dict[str, Any], n_bootstrap: int) -> dict[str, Any]:
    """Rows of results.json."""
    outcomes = [one.name for one in cohort.schema.outcomes]
    report = score_events(
        asked["risks"],
        asked["ends"],
        outcomes,
        GRID,
        HORIZONS,
        cut=LANDMARK,
        baselines=["base_rate", "landmark_cox"],
        n_bootstrap=n_bootstrap,
        strata=asked["fold"],
    )
    content = report.model_dump(mode="json")
    return {
        "part": "pbc",
        "n_subjects": report.n_subjects,
        "ended": report.ended,
        "training_processor_seconds": asked["seconds"],
        **{name: content[name] for name in ("scores", "integrated", "differences")},
    }
