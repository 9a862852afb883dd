"""Mechanistic models, virtual populations and trial protocols: from published equations to a cohort.

- ``simulator``: the contract that every model meets; one file per published model beside it.
- ``engine``: ``solve`` acts out a Timeline with a simulator.
- ``population``: who the virtual patients are; ``protocols``, ``regimens``, ``policies``: what is done to them and when
  they are seen.
- ``simulate``: ``simulate`` and ``simulate_plans`` in memory, ``run_simulation`` to a folder.
"""

from neurotwin.extras import need

for _module in ("array_api_compat", "scipy"):
    need(_module, "simulate")
