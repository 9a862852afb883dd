"""Time to a personal forecast: python benchmarks/personalise/run.py --problem geng|t1d [--evaluate-only] [--quick]

Trains the twins of the problem (or goes on, or takes the weights in the repository with --evaluate-only), exports them,
and asks every route for a forecast of the same patients, one at a time, interleaved. Writes results.json and README.md.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from benchmarks.personalise.personal_forecasts import results, twins
from benchmarks.personalise.personal_forecasts.judge import Judged, compared, judge, row_of
from benchmarks.personalise.personal_forecasts.routes import Answer, Route, by_twin, mechanism_routes
from benchmarks.personalise.personal_forecasts.shares import shares_of
from benchmarks.personalise.personal_forecasts.tasks import TASKS, Questions, Task

from neurotwin.errors import NeurotwinError
from neurotwin.runtime import Predictor

PATIENTS, REPEATS = 100, 7
SLOW, VERY_SLOW = 0.5, 3.0
"""Seconds per patient above which a route is asked once, and of no more than `FEW` patients."""
FEW = 12
FEWEST = {"MAP, scipy LSODA": 4}
"""Fewer of a route whose answers another one gives as well: the same fit by CVODE."""


def measure(questions: Questions, routes: list[Route], *, quick: bool) -> dict[str, Judged]:
    """Ask all routes, interleaved; each route's ``seconds`` are CPU time per patient of each repeat."""
    episodes = questions.episodes
    ones = [episodes.take([patient]) for patient in range(len(episodes))]
    asked, answers = {}, {}
    for route in routes:
        route.answer(ones[-1])  # compiles and warms up: not timed
        spent = time.process_time()
        route.answer(ones[0])
        spent = time.process_time() - spent
        often = 1 if quick or spent > SLOW else REPEATS
        asked[route.name] = (often, FEWEST.get(route.name, FEW) if spent > VERY_SLOW else len(ones))
    for number in range(max(often for often, _ in asked.values())):
        for route in routes:
            often, n = asked[route.name]
            if number < often:
                begin = time.process_time()
                answers[route.name] = [route.answer(one) for one in ones[:n]]
                route.seconds.append((time.process_time() - begin) / len(answers[route.name]))
    return {name: judge(questions, found) for name, found in answers.items()}


def in_one_batch(questions: Questions, route: Route) -> dict[str, Any]:
    """A twin's row again, all patients asked at once."""
    n, many = len(questions.episodes), Route(route.name + results.BATCH, route.knows, route.answer, route.setting)
    for _ in range(REPEATS):
        begin = time.process_time()
        answer = route.answer(questions.episodes)
        many.seconds.append((time.process_time() - begin) / n)
    own = (questions.episodes.queries.subject == patient for patient in range(n))
    parts = [Answer(*(item[mine] for item in answer[:3]), {}) for mine in own]
    return row_of(questions, many, judge(questions, parts))


def rows_of(questions: Questions, routes: list[Route], judged: dict[str, Judged]) -> list[dict[str, Any]]:
    """Each twin beside each other route, alone and in a batch."""
    rows = [row_of(questions, route, judged[route.name]) for route in routes]
    seconds = {row["route"]: row["seconds"] for row in rows}
    batches = []
    for route, row in zip(routes, rows, strict=True):
        if route.name.startswith(results.TWIN):
            row["versus"] = {
                other.name: compared(judged[route.name], judged[other.name])
                | {"faster": seconds[other.name] / seconds[route.name]}
                for other in routes
                if not other.name.startswith(results.TWIN)
            }
            batches.append(in_one_batch(questions, route))
    return [*rows, *batches]


def twin_routes(task: Task, *, evaluate_only: bool) -> list[Route]:
    """Of the twins that have a YAML; with ``evaluate_only`` those that have weights."""
    found = []
    for model in twins.models_of(task):
        if evaluate_only and not twins.weights_path(task, model).exists():
            print(f"{task.name}: {model} is left out: no weights are kept", flush=True)
            continue
        source = twins.trained(task, model, evaluate_only=evaluate_only)
        predictor = twins.bundle_of(task, model, source)
        setting = f"{source.metrics['parameters']} numbers, trained in {source.metrics['seconds']:.0f} s"
        found.append(
            Route(f"{results.TWIN}{model} (ONNX)", twins.knows(task, model), by_twin(task, predictor), setting)
        )
    return found


def main() -> None:
    """Measure a problem, or write its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problem", choices=list(TASKS), required=True)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--quick", action="store_true", help="six patients, once, and nothing is written")
    parser.add_argument("--evaluate-only", action="store_true", help="use the weights in the repository; no training")
    parser.add_argument("--shares", action="store_true", help="only time the twins' parts again, by the last bundles")
    parser.add_argument("--page", action="store_true", help="only write goals and README.md again, from the rows")
    given = parser.parse_args()
    if given.page:
        results.again()
    elif given.shares:
        time_shares(TASKS[given.problem], given.patients)
    else:
        measure_problem(TASKS[given.problem], given)


def time_shares(task: Task, patients: int) -> None:
    """Where the time of each twin goes whose bundle the last run left."""
    torch.set_num_threads(1)
    questions, told = task.questions(patients), {}
    for model in twins.models_of(task):
        folder = twins.bundle_path(task, model)
        if folder.exists():
            told[f"{results.TWIN}{model} (ONNX)"] = shares_of(questions, Predictor.load(folder, threads=1))
    results.put_shares(task.name, told)


def measure_problem(task: Task, given: argparse.Namespace) -> None:
    """Twins made, patients drawn, all asked; written unless it is quick."""
    torch.set_num_threads(1)
    try:
        twin = twin_routes(task, evaluate_only=given.evaluate_only or given.quick)
        questions = task.questions(6 if given.quick else given.patients)
    except NeurotwinError as error:
        raise SystemExit(f"error: {error}") from None
    routes = [*twin, *mechanism_routes(task, quick=given.quick)]
    rows = rows_of(questions, routes, measure(questions, routes, quick=given.quick))
    for row in rows:
        print(
            f"{row['route']}: {row['seconds'] * 1e3:.3g} ms, error {row['error']:.4g} {row['unit']}, coverage "
            f"{row['coverage']:.3f}, width {row['width']:.3g}, {row['patients']} patients",
            flush=True,
        )
    if not given.quick:
        more = "" if given.patients == PATIENTS else f" --patients {given.patients}"
        results.write(task.name, f"python benchmarks/personalise/run.py --problem {task.name}{more}", rows)
        time_shares(task, given.patients)


if __name__ == "__main__":
    main()
