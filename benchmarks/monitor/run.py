"""How soon `neurotwin monitor` notices a change, and how often it cries wolf.

python benchmarks/monitor/run.py [--folder runs/benchmarks/monitor] [--streams 200] [--collect] [--quick]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from benchmarks import page
from benchmarks.monitor import changes
from benchmarks.monitor.streams import Pool, alarms, delays

from neurotwin.cohort import Cohort
from neurotwin.verbs.simulate import simulate_cohort

HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "onnxruntime", "scipy")
COMMAND = "python benchmarks/monitor/run.py"
BUNDLE = Path("checkpoints/lung_tumour@0.1.0")
POOLS = {
    "lung": (["n_subjects=8000", "seed=4001"], BUNDLE),
    "sepsis": (["simulator=reynolds_sepsis", "n_subjects=4000", "seed=4002"], None),
}
VOLUME = "tumour_volume"
SEPSIS = ("pathogen_load", "phagocyte_activation", "tissue_damage", "anti_inflammatory_level")
LENGTH, WITHIN = 1000, 500
SCENES: dict[str, tuple[str, str, changes.Change, int]] = {
    f"{VOLUME} + 1 SD": ("lung", VOLUME, changes.shifted(VOLUME, 1.0), 0),
    f"{VOLUME} + 1 SD, from patient 500 on": ("lung", VOLUME, changes.shifted(VOLUME, 1.0), 500),
    f"{VOLUME} + 0.5 SD": ("lung", VOLUME, changes.shifted(VOLUME, 0.5), 0),
    f"spread of {VOLUME} x 1.5": ("lung", VOLUME, changes.spread(VOLUME, 1.5), 0),
    f"{VOLUME} in mm3": ("lung", VOLUME, changes.in_another_unit(VOLUME, 1000.0, 1.0), 0),
    f"{VOLUME} in mm3, every third patient": ("lung", VOLUME, changes.in_another_unit(VOLUME, 1000.0, 1 / 3), 0),
    f"noise of {VOLUME}, SD 0.3 on the logarithm": ("lung", VOLUME, changes.noisy(VOLUME, 0.3), 0),
    "amounts x 1.5": ("lung", "therapy", changes.dosed(1.5), 0),
    **{f"{name} + 1 SD": ("sepsis", name, changes.shifted(name, 1.0), 0) for name in SEPSIS},
    f"{SEPSIS[0]} + 0.5 SD": ("sepsis", SEPSIS[0], changes.shifted(SEPSIS[0], 0.5), 0),
    f"{SEPSIS[0]} missing at 30 % of visits": ("sepsis", SEPSIS[0], changes.missing(SEPSIS[0], 0.3), 0),
}


class Bench:
    """Pools and rows in a folder; a row that is there is not measured again."""

    def __init__(self, folder: Path, small: bool, collect: bool) -> None:
        self.folder, self.small, self.collect = folder, small, collect
        self._pools: dict[tuple[str, str], Pool] = {}
        (folder / "rows").mkdir(parents=True, exist_ok=True)

    def cohort(self, name: str) -> Cohort:
        """The pool's cohort, simulated once."""
        target = self.folder / name
        if not (target / "cohort.json").exists():
            overrides, _ = POOLS[name]
            less = ["n_subjects=1300"] if self.small else []
            simulate_cohort([*overrides, *less, f"output={target}", "progress=false"])
        return Cohort.load(target)

    def pool(self, name: str, scene: str = "") -> Pool:
        """Features as they are, or after a change."""
        if (name, scene) not in self._pools:
            cohort = self.cohort(name)
            self._pools[name, scene] = Pool.of(SCENES[scene][2](cohort) if scene else cohort, POOLS[name][1])
        return self._pools[name, scene]

    def rows(self, measures: dict[str, Any]) -> list[dict[str, Any]]:
        """A row of each key, measured or read; when they are collected, of those alone that were measured before."""
        return [
            self._row(key, measure) for key, measure in measures.items() if not self.collect or self._path(key).exists()
        ]

    def _path(self, key: str) -> Path:
        return self.folder / "rows" / f"{key}.json".replace(" ", "_").replace("/", "-")

    def _row(self, key: str, measure: Any) -> dict[str, Any]:
        path = self._path(key)
        if not path.exists():
            begin = time.process_time()
            content = measure()
            content["cpu_s"] = round(time.process_time() - begin, 1)
            path.write_text(json.dumps(content) + "\n")
            print(f"{key}: {content}", flush=True)
        return dict(json.loads(path.read_text()))


def quiet(bench: Bench, name: str, streams: int, length: int) -> dict[str, Any]:
    """False alarms on streams and on whole cohorts in which nothing changed."""
    pool = bench.pool(name)
    flagged = sum(one[0] is not None for one in delays(pool, pool, streams=streams, length=length))
    runs, naive = alarms(pool, pool, runs=streams, n=min(length, 500))
    return {
        "pool": name, "features": len(pool.table.features), "streams": streams, "length": length,
        "flagged": flagged, "rate": flagged / streams, "high": clopper_pearson(flagged, streams),
        "runs": runs, "run_rate": runs / streams, "run_high": clopper_pearson(runs, streams),
        "uncorrected": naive / streams,
    }  # fmt: skip


def scene(bench: Bench, name: str, streams: int, length: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Delays of one change, and the power of single runs on cohorts of some sizes."""
    pool, channel, _, begin = SCENES[name]
    before, after = bench.pool(pool), bench.pool(pool, name)
    begin = min(begin, length // 2)
    found = delays(before, after, streams=streams, length=length, begin=begin)
    late = [one for one in found if not one[2]]
    delay = np.array([np.inf if one[0] is None else one[0] for one in late], dtype=np.float64)
    own = sum(channel in (one[1] or "") for one in late if one[0] is not None)
    told = {
        f"power_{n}": alarms(before, after, runs=max(streams // 2, 1), n=n)[0] / max(streams // 2, 1) for n in sizes
    }
    return {
        "change": name, "pool": pool, "streams": len(late),
        "within": float((delay <= WITHIN).mean()), "median": quantile(delay, 0.5), "p95": quantile(delay, 0.95),
        "own": own / max(int(np.isfinite(delay).sum()), 1), **told,
    }  # fmt: skip


def unseen(bench: Bench, name: str, streams: int, length: int) -> dict[str, Any]:
    """Delays of one change where calibration and accuracy alone are looked at."""
    before, after = bench.pool("lung").forecasts, bench.pool("lung", name).forecasts
    found = delays(before, after, streams=streams, length=length, begin=min(SCENES[name][3], length // 2))
    delay = np.array([np.inf if one[0] is None else one[0] for one in found if not one[2]], dtype=np.float64)
    first = [one[1] for one in found if one[1] and not one[2]]
    return {
        "change": name, "streams": len(delay), "within": float((delay <= WITHIN).mean()),
        "median": quantile(delay, 0.5), "p95": quantile(delay, 0.95),
        "mostly": max(set(first), key=first.count) if first else "-",
    }  # fmt: skip


def quantile(delay: np.ndarray, level: float) -> float | None:
    """None where the stream ended before."""
    found = float(np.quantile(delay, level, method="higher")) if len(delay) else np.inf
    return found if np.isfinite(found) else None


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> float:
    """Upper end of the two-sided exact interval of a rate."""
    from scipy.stats import beta

    return 1.0 if count == n else float(beta.ppf((1 + confidence) / 2, count + 1, n - count))


def goals_of(still: list[dict[str, Any]], moved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked, and what was measured."""
    full = [row for row in moved if "+ 1 SD" in row["change"]]
    few, loose = (
        "streams are too few, or the change is too small",
        "the tests are less conservative than they should be",
    )
    return [
        page.goal(
            "streams with a 1-SD shift that are flagged within 500 patients, worst channel",
            0.99, page.LARGER, min(row["within"] for row in full), "", few,
        ),
        page.goal(
            "patients within which 95 of 100 such streams are flagged, worst channel",
            500, page.SMALLER, max((row["p95"] or float(LENGTH)) for row in full), "patients", few,
        ),
        page.goal(
            "share of no-shift streams with any alarm, worst pool",
            0.01, page.SMALLER, max(row["rate"] for row in still), "", loose,
        ),
        page.goal(
            "share of no-shift runs with any alarm, worst pool",
            0.01, page.SMALLER, max(row["run_rate"] for row in still), "", loose,
        ),
    ]  # fmt: skip


def tables(content: dict[str, Any]) -> list[str]:
    """For the README."""
    still = {
        "pool": "pool", "features": "features", "streams": "streams", "length": "patients each",
        "rate": "streams with an alarm", "high": "at most, 95 %",
        "run_rate": "runs on 500 patients with an alarm", "run_high": "at most, 95 % ",
        "uncorrected": "with any test below 1 %, uncorrected",
    }  # fmt: skip
    moved = {
        "change": "change", "streams": "streams", "within": "flagged within 500", "median": "median delay",
        "p95": "95 of 100 within", "own": "first alarm names the channel", "power_50": "run on 50: alarm",
        "power_100": "on 100", "power_200": "on 200", "power_500": "on 500",
    }  # fmt: skip
    alone = {
        "change": "change", "streams": "streams", "within": "flagged within 500", "median": "median delay",
        "p95": "95 of 100 within", "mostly": "first alarm mostly by",
    }  # fmt: skip
    return [
        "Nothing changed:", page.table(still, content["rows"]),
        "Something changed (delays in patients; a dash: not within the stream):", page.table(moved, content["changes"]),
        "The same where calibration and accuracy alone are looked at:", page.table(alone, content["forecasts"]),
    ]  # fmt: skip


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/monitor"), help="kept between calls")
    parser.add_argument("--streams", type=int, default=200, help="of each change; those without one are 1,000")
    parser.add_argument("--collect", action="store_true", help="measure nothing: write the rows that are there")
    page.quick_arguments(parser, "few and short streams")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch) if given.quick else given.folder, given.quick, given.collect)
        streams, none, length = (3, 5, 300) if given.quick else (given.streams, 1000, LENGTH)
        sizes = (100,) if given.quick else (50, 100, 200, 500)
        names = list(SCENES)[:2] if given.quick else list(SCENES)
        pools = ["lung"] if given.quick else list(POOLS)
        lung = [name for name in names if SCENES[name][0] == "lung"]
        still = bench.rows({f"none {pool}": partial(quiet, bench, pool, none, length) for pool in pools})
        moved = bench.rows({name: partial(scene, bench, name, streams, length, sizes) for name in names})
        alone = bench.rows({f"forecasts {name}": partial(unseen, bench, name, streams, length) for name in lung})
    goals = goals_of(still, moved)
    if given.quick:
        page.tell(goals, given.json)
        return
    content = page.results(COMMAND, PACKAGES, still, goals) | {"changes": moved, "forecasts": alone}
    page.write(HERE, content, tables(content))


if __name__ == "__main__":
    main()
