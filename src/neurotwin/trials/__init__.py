"""In-silico trials: two arms in a virtual population whose outcome is known under both.

- ``design``: arms, eligibility, allocation, endpoints, sizes; each part has a module of its name.
- ``mechanistic`` and ``surrogate``: who acts the patients out, a simulator or an exported bundle; ``courses``: what
  they show.
- ``twins``: forecasts of single subjects under control, for prognostic covariate adjustment and external controls.
- ``effects``, ``survival``, ``subgroup_effects``, ``pharmacovigilance``: what a trial tells.
- ``replicates``, ``external``, ``agreement``: what only a simulation tells: power, type-I error, bias, precision.
- ``run_trial``: all of it; ``report_page`` and ``results``: page, JSON and table.

Torch-free. In silico: a trial here tests a design, and is no evidence about any treatment.
"""

from neurotwin.trials.design import Arm, Design, Sizes
from neurotwin.trials.run_trial import Trial, run_trial
from neurotwin.trials.world import World

__all__ = ["Arm", "Design", "Sizes", "Trial", "World", "run_trial"]
