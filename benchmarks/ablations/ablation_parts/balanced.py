"""A balanced state (`loss.balance`) beside a free one, on the cancer benchmark: counterfactual error with both."""

from pathlib import Path
from typing import Any

from benchmarks.cancer.evaluation import evaluate, load_errors
from benchmarks.cancer.models import learned
from benchmarks.cancer.scoring import paired_interval
from benchmarks.cancer.sets import load_sets
from benchmarks.cancer.tracks import TRACKS

GAMMA, SEED = 4.0, 10
WEIGHTS = (0.0, 0.1, 1.0)
LIMIT = 2500
"""Training patients; all 10,000 take four times as long."""
WORK = Path("runs/benchmarks/ablations")


def row_of(model: str, weight: float, epochs: int | None) -> dict[str, Any]:
    """Scores at one weight, and the difference to weight 0 (95 %, patients drawn in pairs) where that was run."""
    sets, track = load_sets(GAMMA, SEED), TRACKS["clean"]
    settings = [f"loss.balance={weight:g}", f"data.limit={LIMIT}"]
    settings += [] if epochs is None else [f"trainer.max_epochs={epochs}"]
    make, told = learned(model, sets, GAMMA, SEED, track, overrides=settings)
    found = evaluate(sets, make, track, gamma=GAMMA, seed=SEED)
    row = {"task": f"cancer, gamma {GAMMA:g}, seed {SEED}", "variant": f"{weight:g}", "model": model, "patients": LIMIT}
    row |= {"epochs": told["epochs"]} | {name: found.scores[name] for name in ("one_step", "sliding", "randomised")}
    if epochs is not None:
        return row
    found.save(WORK / f"balance_{model}_{weight:g}.npz")
    free = WORK / f"balance_{model}_0.npz"
    if weight and free.exists():
        others = load_errors(free)
        for name in ("sliding", "randomised"):
            less = paired_interval(found.errors[name], others[name], level=0.95)
            row[f"{name}_less"] = [round(float(part[-1]), 4) for part in (less.score, less.low, less.high)]
    return row
