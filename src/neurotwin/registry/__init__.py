"""Registry: which bundle of a twin is the champion, who judged it by which rules, and the way back.

- `Gate`: acceptance rules, read from a YAML file;
- `judge`: each rule asked of a candidate, beside the champion, on patients that neither was trained on;
- `Registry`: a folder of bundles with aliases, verdicts and a hash-chained history.
"""

from neurotwin.registry.gate import Gate, read_gate
from neurotwin.registry.judge import judge
from neurotwin.registry.registry import Registry
from neurotwin.registry.verdict import Row, Verdict

__all__ = ["Gate", "Registry", "Row", "Verdict", "judge", "read_gate"]
