"""The Timeline: flat events cut into rows that every engine acts out. The only place where time is cut.

A row is one step, acted out in this order: the jump, the flow for ``dt`` under constant controls, the query (anywhere
inside the row, by the solver's dense output), the observation at the END. Time is cut at events only (observation,
dose start, dose stop); a stretch longer than ``max_step`` is divided evenly, and the open stretch after the last
event is walked in steps of ``max_step``. Queries never cut: each is a fraction ``query_at`` of a row. When several
fall into one row, the earlier ones get rows of their own that are acted out and then forgotten (``peek``). So asking
for one more time changes no other answer.

A row whose dt, jump, mask and query are all zero is padding. A dt = 0 row with a jump or a mask acts: this is how a
first visit, or a sample drawn right after a dose, is written.
"""

from neurotwin.timeline.build import build_timeline
from neurotwin.timeline.table import Timeline

__all__ = ["Timeline", "build_timeline"]
