"""What a worker does with a task, in whatever process or machine it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurotwin.score.answers import columns_of
from neurotwin.score.folder import Outcome, write_part
from neurotwin.score.job import Job
from neurotwin.score.schedule import Task
from neurotwin.score.scorer import Mark, Scorer
from neurotwin.score.verdicts import ABSTAIN, DEGRADED, OK

Prepare = Callable[[Job], Scorer]
"""How a worker comes to its scorer. Called in the worker; pickled by its name."""


def perform(scorer: Scorer, task: Task, folder: Path, mark: Mark) -> Outcome | None:
    """Score a part and write it, or try some of its subjects alone and write nothing."""
    excluded = dict(task.excluded)
    if task.alone is not None:
        scorer.score(task.part, mark, excluded, np.array(task.alone, np.int64))
        return None
    scored = scorer.score(task.part, mark, excluded)
    answers = scored.answers
    mark(())
    sha256 = write_part(folder, task.part.name, columns_of(answers, scorer.predictor))
    status = answers.verdicts.told()[0][answers.rows]
    counts = {name: int((status == name).sum()) for name in (OK, DEGRADED, ABSTAIN)}
    return Outcome(task.part.number, sha256, counts, scored.quarantined)
