"""The cancer benchmark: python benchmarks/cancer/run.py --gamma 4 --seeds 10 101 --model NAME [--track thin50]

Draws the published data sets, trains the model where it is a learned one, forecasts the test rows and writes one row
per seed to results.json. What is done already is not done again: a run that was stopped goes on where it was.
"""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.cancer import results
from benchmarks.cancer.evaluation import evaluate, impossible, load_errors
from benchmarks.cancer.forecasters import FLOOR, REFERENCES, references_for
from benchmarks.cancer.goals import goals_of
from benchmarks.cancer.models import MODELS, learned
from benchmarks.cancer.readme import write_readme
from benchmarks.cancer.sets import PUBLISHED_SEEDS, WORK, Sets, load_sets
from benchmarks.cancer.tracks import TRACKS, Track

from neurotwin.errors import NeurotwinError


class LeakError(Exception):
    """A score that nobody without sight of the future can have."""


def measure_one(name: str, gamma: float, seed: int, track: Track, given: argparse.Namespace) -> None:
    """One row, unless it is there."""
    key = {"track": track.name, "gamma": gamma, "seed": seed, "model": name}
    kept = errors_path(**key)
    if not (given.again or given.evaluate_only or given.set) and kept.exists() and results.find(results.read(), **key):
        return
    sets = load_sets(gamma, seed)
    if name in REFERENCES:
        make, told = REFERENCES[name], {}
    else:
        make, told = learned(name, sets, gamma, seed, track, evaluate_only=given.evaluate_only, overrides=given.set)
    found = evaluate(sets, make, track, gamma=gamma, seed=seed)
    if name in MODELS and not given.evaluate_only:  # kept weights were judged when they were trained
        judge(name, found.errors, sets, gamma, seed, track)
    if not given.set:
        found.save(kept)
        told = told | {"command": command_of(**key), "date": datetime.now(UTC).strftime("%Y-%m-%d")}
        results.add(key | found.scores | told | {"versions": results.versions()}, goals_of)
        write_readme()
    last = found.scores["one_step"]["last"]
    print(
        f"{track.name} gamma {gamma:g} seed {seed} {name}: one-step {last:.3f}, sliding {found.scores['sliding']}, "
        f"random {found.scores['randomised']}, {found.scores['evaluate_seconds']} s",
        flush=True,
    )


def judge(name: str, errors: Any, sets: Sets, gamma: float, seed: int, track: Track) -> None:
    """Raises LeakError for a score below the floor by more than the paired bootstrap explains."""
    floor = FLOOR[track.noise == 0]
    path = errors_path(track.name, gamma, seed, floor)
    if not path.exists():
        evaluate(sets, REFERENCES[floor], track, gamma=gamma, seed=seed).save(path)
    if found := impossible(errors, load_errors(path)):
        told = "; ".join(
            f"{one}: {interval.score.round(3)} (at most {interval.high.round(3)})" for one, interval in found.items()
        )
        raise LeakError(
            f"{name}, gamma {gamma:g}, seed {seed}, {track.name}: below {floor} by {told}. No forecast that does not "
            "see the future is better than that; run tests/benchmarks and look for a leak before believing it"
        )


def errors_path(track: str, gamma: float, seed: int, model: str) -> Path:
    """Where the errors by patient are kept."""
    return WORK / "errors" / f"{track}_gamma{gamma:g}_seed{seed}_{model}.npz"


def command_of(track: str, gamma: float, seed: int, model: str) -> str:
    """What makes a row again."""
    more = "" if track == "clean" else f" --track {track}"
    return f"python benchmarks/cancer/run.py --gamma {gamma:g} --seeds {seed} --model {model}{more}"


def main() -> None:
    """Read the command line and go through the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gamma", type=float, default=4.0, help="strength of the confounding")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(PUBLISHED_SEEDS))
    names = [*REFERENCES, *MODELS]
    parser.add_argument("--model", nargs="+", choices=["references", *names], default=["references"], metavar="NAME",
                        help=f"references, or some of: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--track", choices=list(TRACKS), default="clean")
    parser.add_argument("--evaluate-only", action="store_true", help="use the weights in the repository; no training")
    parser.add_argument("--again", action="store_true", help="also what is done already")
    told = "settings of the training, for a trial: it is printed, and not written to results.json"
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help=told)
    given = parser.parse_args()
    track = TRACKS[given.track]
    wanted = [one for name in given.model for one in (references_for(track.noise) if name == "references" else [name])]
    try:
        for seed in given.seeds:
            for name in wanted:
                measure_one(name, given.gamma, seed, track, given)
    except (NeurotwinError, LeakError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
