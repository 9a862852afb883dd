"""Monitoring: is a bundle still asked about patients like those it learned from, and is it still right about them?

- `monitor`: drift of the inputs, of calibration and of accuracy, abstentions and scores on a site's own patients;
- `Reference`: what the patients of training were like, as counts between quantiles, `reference.json` of a bundle;
- `watch`: the same tests again and again on a stream of patients, with one bound on all its false alarms;
- ``neurotwin.monitoring.page``: a self-contained HTML page.
"""

from neurotwin.monitoring.monitor import Options, monitor
from neurotwin.monitoring.reference import Reference
from neurotwin.monitoring.report import Check, MonitorReport
from neurotwin.monitoring.stream import watch

__all__ = ["Check", "MonitorReport", "Options", "Reference", "monitor", "watch"]
