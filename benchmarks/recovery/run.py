"""Recovery: do inferred parameters of simulated patients match the true ones? python benchmarks/recovery/run.py

Lung tumours under chemotherapy and radiotherapy (Geng 2017) and vancomycin levels (Alqahtani 2018), two ways to infer:
the patient's maximum a posteriori fit with the published population as prior, and a trained `hybrid_ode`, which learns
its prior. Unseen patients; everything observed is used. What is done already is not done again.
"""

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy
import torch

import neurotwin
from neurotwin import compose
from neurotwin.cohort import Cohort
from neurotwin.demo.trainings import train_all
from neurotwin.episodes import Episodes
from neurotwin.evaluation.mechanistic_map import MechanisticMap
from neurotwin.evaluation.recovery import Recovery, recovery
from neurotwin.events import Queries
from neurotwin.models import HybridOde
from neurotwin.recipes import load_run
from neurotwin.simulators.engine import solve
from neurotwin.simulators.run_simulation import run_simulation
from neurotwin.solvers import Rows

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
TASKS: dict[str, dict[str, Any]] = {
    "lung_tumour": {"simulator": "geng_nsclc", "train": ["experiment=lung_tumour_hybrid"]},
    "vancomycin": {
        "simulator": "vancomycin",
        "train": [
            "model=hybrid_ode",
            "model.mechanism={_target_: neurotwin.simulators.vancomycin.Vancomycin}",
            "model.free=[clearance,central_volume,intercompartmental_clearance,peripheral_volume]",
            "model.start=[]",
            "~model.links",
            "model.solver.max_step=2.0",
            "optimizer.lr=0.02",
            "optimizer.weight_decay=0",
            "trainer.max_epochs=10",
        ],
    },
}
WAYS = ("mechanistic_map", "hybrid_ode")
COLUMNS = ("task", "way", "parameter", "n", "correlation", "bias", "rmse", "coverage", "explained", "shrinkage",
           "identified")  # fmt: skip


def cohort_of(task: str, work: Path, n: int) -> tuple[Any, Path]:
    """Simulator and folder of its cohort, simulated unless it is there."""
    config = compose.compose("simulate", [f"simulator={TASKS[task]['simulator']}"])
    parts = {name: compose.build(config[name], name) for name in ("simulator", "population", "protocol")}
    folder = work / f"{task}-{n}"
    run_simulation(*parts.values(), n_subjects=n, seed=1, output=folder, progress=False)
    return parts["simulator"], folder


def whole_courses(cohort: Cohort) -> Episodes:
    """All that was seen of each patient, as the past."""
    static, mask = cohort.schema.encode_statics(cohort.statics)
    cut = np.full(len(cohort), np.inf)
    return Episodes(cohort.schema, static, mask, cohort.start, cut, cohort.observations, cohort.doses, Queries.of())


def by_map(simulator: Any, train: Cohort, test: Cohort) -> list[Recovery]:
    """Fits of each patient, on the logarithms of the parameters."""
    fitted = MechanisticMap.fit(train, simulator, solve)
    found = fitted.estimate(whole_courses(test))
    truth = np.log(np.stack([test.truth[name] for name in found.names], axis=1))
    return recovery(found.names, truth, found.location, found.sd, fitted.prior.sd)


def by_hybrid(run: Path, test: Cohort) -> list[Recovery]:
    """Beliefs of a trained hybrid, on the links of its parameters."""
    model, _ = load_run(run)
    if not isinstance(model, HybridOde):
        raise TypeError(f"{run} holds a {type(model).__name__}, not a HybridOde")
    episodes = whole_courses(test)
    history = episodes.history(model.solver.max_step)
    start, static, mask = (
        torch.as_tensor(item, dtype=torch.float32) for item in (history.start, episodes.static, episodes.static_mask)
    )
    with torch.no_grad():
        blank = torch.zeros(len(episodes), model.state_size)
        state = model.assimilate(blank, torch.ones_like(start), start, static, mask, Rows.of(history))
        belief = model.parameters_of(state)
    names = model.mechanism.free
    truth = torch.as_tensor(np.stack([test.truth[name] for name in names], axis=1), dtype=torch.float32)
    phi = model.mechanism.moving_links.of(truth)
    return recovery(names, *(item.double().numpy() for item in (phi, belief.phi, belief.sd, belief.prior_sd)))


def measure(task: str, way: str, work: Path, n: int) -> list[dict[str, Any]]:
    """Rows of one task and way."""
    begun = time.perf_counter()
    simulator, folder = cohort_of(task, work, n)
    cohort = Cohort.load(folder)
    train, test = cohort.part("train"), cohort.part("test")
    if way == "hybrid_ode":
        run = work / f"{task}-{n}-hybrid"
        train_all({run: [*TASKS[task]["train"], f"data.cohort={folder}"]}, work / "logs")
        found = by_hybrid(run, test)
    else:
        found = by_map(simulator, train, test)
    seconds = round(time.perf_counter() - begun, 1)
    return [{"task": task, "way": way, "parameter": one.name, "seconds": seconds} | _numbers(one) for one in found]


def _numbers(one: Recovery) -> dict[str, Any]:
    content = one._asdict()
    content.pop("name")
    return {
        key: (round(value, 4) if np.isfinite(value) else None) if isinstance(value, float) else value
        for key, value in content.items()
    }


def write(rows: list[dict[str, Any]], n: int) -> None:
    """results.json, and the table of README.md."""
    versions = {"neurotwin": neurotwin.__version__, "python": platform.python_version(), "torch": torch.__version__}
    results = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "versions": versions | {"scipy": scipy.__version__},
        "command": "python benchmarks/recovery/run.py" + (f" --patients {n}" if n != 1000 else ""),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "rows": rows,
        "goals": [],
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    cells = [[_cell(row[name]) for name in COLUMNS] for row in rows]
    lines = [list(COLUMNS), ["---"] * 3 + ["---:"] * (len(COLUMNS) - 3), *cells]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    told = f"`{results['command']}` on {results['machine']}, {results['date']}; " + ", ".join(
        f"{name} {number}" for name, number in results["versions"].items()
    )
    page = (HERE / "README.md").read_text()
    head, _, rest = page.partition(BEGIN)
    (HERE / "README.md").write_text(f"{head}{BEGIN}\n{told}.\n\n{table}\n{END}{rest.partition(END)[2]}")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=1000, help="of each cohort, a sixth of them for the test")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks/recovery"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    notes = given.work / f"done-{given.patients}.json"
    done = json.loads(notes.read_text()) if notes.exists() else {}
    for task in TASKS:
        for way in WAYS:
            if (key := f"{task} {way}") not in done:
                done[key] = measure(task, way, given.work, given.patients)
                notes.write_text(json.dumps(done))
                print(f"{key}: {done[key][0]['seconds']} s", flush=True)
    write([row for rows in done.values() for row in rows], given.patients)
    notes.unlink()


if __name__ == "__main__":
    main()
