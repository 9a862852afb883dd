"""Distillation: a flow map is taught by a trained neural ODE, and measured against it."""

from neurotwin.training.distill.run import DistillOptions, check_folders, distill, distilled_config

__all__ = ["DistillOptions", "check_folders", "distill", "distilled_config"]
