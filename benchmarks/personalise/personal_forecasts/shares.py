"""Where a twin's time goes, from flat tables to point and interval, when one patient is asked for."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.personalise.personal_forecasts.routes import by_twin
from benchmarks.personalise.personal_forecasts.tasks import Questions

from neurotwin.runtime import Predictor

REPEATS = 20


def shares_of(questions: Questions, predictor: Predictor) -> dict[str, float]:
    """CPU seconds per patient of each part, least of the repeats: ``cutting`` the history and the plan into rows, the
    two ``graphs``, and the ``whole``; what is left of it is Python around them, calibration included.

    Each part is timed over all patients in a row, as the whole is.
    """
    episodes, step = questions.episodes, predictor.signature.max_step
    ones = [episodes.take([patient]) for patient in range(len(episodes))]
    answer = by_twin(questions.task, predictor)
    pasts, plans = ([cut(step) for cut in cuts] for cuts in ([o.history for o in ones], [o.plan for o in ones]))
    states = [predictor.assimilate(past)[0] for past in pasts]
    jobs: dict[str, list[Callable[[], Any]]] = {
        "cutting": [lambda one=one: (one.history(step), one.plan(step)) for one in ones],
        "graphs": [
            lambda past=past, state=state, plan=plan: (predictor.assimilate(past), predictor.forecast(state, plan))
            for past, state, plan in zip(pasts, states, plans, strict=True)
        ],
        "whole": [lambda one=one: answer(one) for one in ones],
    }
    least = dict.fromkeys(jobs, float("inf"))
    for _ in range(REPEATS):
        for name, calls in jobs.items():
            begin = time.process_time()
            for call in calls:
                call()
            least[name] = min(least[name], (time.process_time() - begin) / len(calls))
    return least
