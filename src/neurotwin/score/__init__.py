"""Scores: a bundle's forecasts of every subject of a cohort, with as many workers as there are. Needs no torch.

`score_cohort` has every subject answered exactly once, or put in quarantine with a reason. What a worker writes does
not depend on who wrote it or when, so runs that were interrupted and runs that were not leave the same files.
"""

from neurotwin.score.folder import Outcome
from neurotwin.score.job import Job, Part, make_job, parts_of
from neurotwin.score.schedule import Schedule, Task
from neurotwin.score.score import Summary, score_cohort
from neurotwin.score.scorer import Scored, Scorer

__all__ = [
    "Job",
    "Outcome",
    "Part",
    "Schedule",
    "Scored",
    "Scorer",
    "Summary",
    "Task",
    "make_job",
    "parts_of",
    "score_cohort",
]
