"""Training data: batches of episodes over a cohort."""

from neurotwin.data.batch import Batch, Events, random_batch, random_cuts
from neurotwin.data.module import CohortData, EpisodeBatches

__all__ = ["Batch", "CohortData", "EpisodeBatches", "Events", "random_batch", "random_cuts"]
