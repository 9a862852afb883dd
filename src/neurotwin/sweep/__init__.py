"""Sweeps: a thin driver over Optuna that trains one trial per process.

- `settings`: what is searched, from the configuration;
- `study`: trials in a database, which several drivers may share;
- `driver`: starts trials, watches them, prunes them, and puts back what was interrupted;
- `report`: the table, the page, and the best trial as an experiment.

No torch here: a trial is `python -m neurotwin.train`, and what it has done is read from its folder.
"""
