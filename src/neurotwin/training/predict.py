"""A trained surrogate as a callable that answers episodes, for evaluation beside any other."""

from dataclasses import dataclass

import numpy as np
import torch

from neurotwin.episodes import Episodes, Forecast
from neurotwin.landmarks import ask_cuts, given_free
from neurotwin.models import LEVELS, Surrogate
from neurotwin.solvers import Rows

CHUNK = 512


@dataclass(frozen=True)
class SurrogatePredictor:
    """Answers with quantiles and joint draws in the variables' units."""

    model: Surrogate

    def __call__(self, episodes: Episodes) -> Forecast:
        """See `neurotwin.episodes.Forecast`."""
        parts = [
            self._answer(episodes.take(np.arange(first, min(first + CHUNK, len(episodes)))))
            for first in range(0, len(episodes), CHUNK)
        ]
        quantiles, draws, mean, *incidence = (np.concatenate(column) for column in zip(*parts, strict=True))
        ok = np.isfinite(quantiles).all(axis=(1, 2))
        given = draws if self.model.n_draws > 1 else None
        return Forecast(np.array(LEVELS), quantiles, given, ok, mean, *incidence)

    def _answer(self, episodes: Episodes) -> tuple[np.ndarray, ...]:
        if not self.model.tells_risk:
            return self._asked(episodes)
        subject = episodes.queries.subject
        more, old, cut = ask_cuts(episodes)
        *answer, incidence = self._asked(more)
        return (*(part[old] for part in answer), given_free(incidence[old], incidence[cut][subject]))

    def _asked(self, episodes: Episodes) -> tuple[np.ndarray, ...]:
        """Quantiles, draws and mean at the queries, and incidences since the plan's start where there are hazards."""
        model, step = self.model, self.model.solver.max_step
        history, plan = episodes.history(step), episodes.plan(step)
        start, static, mask = (
            torch.as_tensor(array, dtype=torch.float32)
            for array in (history.start, episodes.static, episodes.static_mask)
        )
        with torch.no_grad():
            blank = torch.zeros(len(episodes), model.state_size)
            state = model.assimilate(blank, torch.ones_like(start), start, static, mask, Rows.of(history))
            prediction = model.forecast(state, Rows.of(plan))
            place = (torch.as_tensor(episodes.queries.subject, dtype=torch.int64), torch.as_tensor(plan.query_row))
            answer = [
                prediction.quantiles(model.scaler),
                prediction.draws(model.scaler),
                prediction.natural_mean(model.scaler),
            ]
            if prediction.risk is not None:
                answer.append(prediction.risk.mean_incidence)
        return tuple(part[place].double().numpy() for part in answer)
