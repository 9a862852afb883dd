"""No model waits for the device inside a loop over rows: the number of questions does not grow with the rows."""

import numpy as np
import torch
from toys import assimilated, rows_of

from neurotwin.events import Queries
from neurotwin.solvers.cuda_graphs import Blocking


def test_a_forecast_asks_no_more_for_more_rows(model, cohort):
    state = assimilated(model, cohort, rows_of(cohort, observations=cohort.observations, doses=cohort.doses)[0])
    counts = []
    for times in ([1.0, 2.0], [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]):
        queries = Queries.of(np.repeat(np.arange(len(cohort)), len(times)), np.tile(times, len(cohort)))
        rows, _ = rows_of(cohort, queries=queries)
        with torch.no_grad(), Blocking() as blocking:
            model.forecast(state, rows)
        counts.append([one.operation for one in blocking.found])
    assert len(counts[0]) == len(counts[1]), (counts, blocking.found)


def test_an_assimilation_asks_no_more_for_more_rows(model, cohort):
    rows, _ = rows_of(cohort, observations=cohort.observations, doses=cohort.doses)
    counts = []
    for part in (rows.dt.shape[1] // 2, rows.dt.shape[1]):
        with Blocking() as blocking:
            assimilated(model, cohort, type(rows)(*(one[:, :part] for one in rows)))
        counts.append(len(blocking.found))
    assert counts[0] == counts[1], blocking.found
