"""Calibrating an exported bundle again, on virtual patients or on a site's. Torch-free.

- `Virtual`, `calibrate_differences`: intervals of paired differences, where the true differences are known because the
  mechanism simulated the same patients under pairs of plans;
- `recalibrated`: intervals of forecasts, on the patients of a site;
- `check_target`, `reissue`: the bundle again, with another calibration and a version of its own.
"""

from neurotwin.calibrating.reissue import check_target, reissue
from neurotwin.calibrating.site import recalibrated
from neurotwin.calibrating.virtual import Virtual, calibrate_differences

__all__ = ["Virtual", "calibrate_differences", "check_target", "recalibrated", "reissue"]
