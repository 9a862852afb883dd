"""Training: the only place that knows Lightning and trackers."""

from neurotwin.training.callbacks import Checkpoints, StopWhenBadNumbers
from neurotwin.training.checkpoint import SafetensorsCheckpoints, read_checkpoint, write_checkpoint
from neurotwin.training.loss import JointGaussian
from neurotwin.training.module import SurrogateTraining, probe_parameters
from neurotwin.training.predict import SurrogatePredictor
from neurotwin.training.resume import ResumePoints
from neurotwin.training.schedule import warmup_cosine
from neurotwin.training.tracking import Mlflow
from neurotwin.training.train import Recipe, load_model, train

__all__ = [
    "Checkpoints",
    "JointGaussian",
    "Mlflow",
    "Recipe",
    "ResumePoints",
    "SafetensorsCheckpoints",
    "StopWhenBadNumbers",
    "SurrogatePredictor",
    "SurrogateTraining",
    "load_model",
    "probe_parameters",
    "read_checkpoint",
    "train",
    "warmup_cosine",
    "write_checkpoint",
]
