"""Evaluation: any callable that answers episodes is judged by the same code. Numpy only; plots need matplotlib.

- `evaluate`: metrics, patient bootstrap, differences from baselines, as an `EvaluationReport`;
- `cross_validate`: the same over five folds;
- `Locf`, `PopulationMean`, `LinearMixed`, `GradientBoosting`: the baselines, by name in ``baselines``;
- `fit_calibration`, `with_measured_coverage`, `calibrated`: conformal intervals by patient;
- ``neurotwin.evaluation.metrics``: the pure functions;
- ``neurotwin.evaluation.report``: a self-contained HTML page.
"""

from neurotwin.evaluation.calibration import calibrated, fit_calibration, with_measured_coverage
from neurotwin.evaluation.cuts import choose_cuts, random_cuts
from neurotwin.evaluation.evaluate import evaluate, score
from neurotwin.evaluation.folds import cross_validate
from neurotwin.evaluation.gradient_boosting import GradientBoosting
from neurotwin.evaluation.linear_mixed import LinearMixed
from neurotwin.evaluation.locf import Locf, PopulationMean
from neurotwin.evaluation.results import Difference, Estimate, EvaluationReport, Metric, Reliability, Score
from neurotwin.evaluation.table import print_report

__all__ = [
    "Difference",
    "Estimate",
    "EvaluationReport",
    "GradientBoosting",
    "LinearMixed",
    "Locf",
    "Metric",
    "PopulationMean",
    "Reliability",
    "Score",
    "calibrated",
    "choose_cuts",
    "cross_validate",
    "evaluate",
    "fit_calibration",
    "print_report",
    "random_cuts",
    "score",
    "with_measured_coverage",
]
