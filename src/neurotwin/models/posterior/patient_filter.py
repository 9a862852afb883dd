"""The moves of a belief about a patient: along a row, and by what was observed at its end."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.layers import squashed
from neurotwin.models.posterior.chart import Chart
from neurotwin.models.posterior.exposure import Exposure
from neurotwin.models.posterior.gaussian_filter import conditioned, transported
from neurotwin.models.posterior.patient_field import PatientField
from neurotwin.solvers import Rows, Solver


class Belief(NamedTuple):
    """What is known of a patient.

    Attributes:
        y: ``[batch, obs]`` mean of the variables, in model units.
        z: ``[batch, patient]`` mean of what is particular to the patient.
        covariance: ``[batch, n, n]`` of both, n = obs + patient.
        memory: ``[batch, size]`` exposure to treatments.
        seen: ``[batch, obs]`` 1 where the variable was observed before.
        fresh: ``[batch, obs]`` variances that the rows since the last observation have added, each by itself.
    """

    y: Tensor
    z: Tensor
    covariance: Tensor
    memory: Tensor
    seen: Tensor
    fresh: Tensor


class Noise(NamedTuple):
    """Variances ``[obs]``: what the process gains per unit of time, and of a value around its variable."""

    process: Tensor
    value: Tensor


class PatientFilter(nn.Module):
    """Dynamics of one model and the exact filter for them; see `neurotwin.models.BayesOde` for the equations.

    Args:
        field: the vector field.
        exposure: the memory of treatments.
        solver: advances a row.
        time: one unit of the model's own time.
        stretch: ``[obs]`` of the charts around a variable that was observed before; on the first sight of a variable
            nothing is known but its modelling scale, and that is its chart. None: so it is always.
        use_clock: whether the field is told the time.
        robust: see `neurotwin.models.posterior.gaussian_filter.conditioned`.
    """

    stretch: Tensor | None
    own: Tensor
    still: Tensor

    def __init__(
        self,
        field: PatientField,
        exposure: Exposure,
        solver: Solver,
        *,
        time: float,
        stretch: Tensor | None,
        use_clock: bool,
        robust: float = 0.0,
    ) -> None:
        super().__init__()
        self.field, self.exposure, self.solver, self.time = field, exposure, solver, time
        self.use_clock, self.robust = use_clock, robust
        self.n_obs, self.n = field.n_obs, field.n_obs + field.n_patient
        self.register_buffer("stretch", stretch, persistent=False)
        self.register_buffer("own", torch.eye(self.n_obs), persistent=False)
        self.register_buffer("still", torch.eye(self.n_obs, self.n).reshape(1, -1), persistent=False)

    def chart(self, seen: Tensor) -> Chart:
        """The chart around variables of which some were observed before ``[batch, obs]``."""
        return Chart(None if self.stretch is None else self.stretch * seen)

    def told(self, t: Tensor, elapsed: Tensor, dosed: Tensor, control: Tensor, static: Tensor) -> Tensor:
        """All that the field is told at an instant of a row, ``[batch, known]``."""
        clock = squashed(t / self.time if self.use_clock else torch.zeros_like(t))
        return torch.cat([self.exposure.after(dosed, control, elapsed), control, static, clock], dim=-1)

    def moved(
        self, before: Belief, chart: Chart, row: Rows, t: Tensor, static: Tensor, noise: Noise, *, ask: bool
    ) -> tuple[Belief, Belief]:
        """The belief where the row's query asks (at its start, unless ``ask``), and at its end."""
        dosed = self.exposure.dosed(before.memory, row.jump)
        sizes, shape = [self.n_obs, self.n_obs * self.n], (self.n_obs, self.n)
        begun = torch.cat([torch.zeros_like(before.y), self.still.expand(before.y.shape[0], -1)], dim=-1)

        def flow(time: Tensor, packed: Tensor) -> Tensor:
            """Slope of the local change of y, and of its derivative by y and z at the row's start."""
            local, derivative = packed.split(sizes, dim=-1)
            told = self.told(time, time - t, dosed, row.control, static)
            if packed is begun:  # the first stage lies where the chart is centred
                slope, loading, by_y = self.field.linearised(before.y, told, before.z)
                if chart.stretch is not None:
                    by_y = by_y + self.own * (slope * chart.stretch).unsqueeze(2)
                through = torch.cat([by_y, loading], dim=2)
            else:
                slope, loading, by_y = self.field.linearised(before.y + chart.change(local), told, before.z)
                if chart.stretch is not None:
                    growth = chart.growth(local)
                    bend = self.own * (slope * chart.curvature(local)).unsqueeze(2)
                    by_y = by_y * (growth.unsqueeze(2) / growth.unsqueeze(1)) + bend
                    slope, loading = slope * growth, loading * growth.unsqueeze(2)
                through = by_y @ derivative.unflatten(-1, shape) + F.pad(loading, (self.n_obs, 0))
            return torch.cat([slope, through.flatten(1)], dim=-1) / self.time

        done = self.solver.advance(flow, t, row.dt, begun, row.query_at)

        def belief(packed: Tensor, elapsed: Tensor) -> Belief:
            local, derivative = packed.split(sizes, dim=-1)
            gained, flowed = (elapsed / self.time).unsqueeze(-1) * noise.process, derivative.unflatten(-1, shape)
            if chart.stretch is not None:
                # From coordinates around the old mean to those around the new one.
                unit = 1 / chart.growth(local)
                gained, flowed = gained * unit.square(), flowed * unit.unsqueeze(2)
            by_z = flowed.narrow(2, self.n_obs, self.n - self.n_obs)
            return before._replace(
                y=before.y + chart.change(local),
                covariance=transported(before.covariance, flowed, gained.unsqueeze(2) * self.own),
                memory=self.exposure.after(dosed, row.control, elapsed),
                fresh=before.fresh + ((by_z @ doubt) * by_z).sum(-1) + gained,
            )

        doubt = _last(before.covariance, self.n - self.n_obs)
        asked = belief(done.at_query, row.dt * row.query_at) if ask else before._replace(memory=dosed)
        return asked, belief(done.end, row.dt)

    def informed(self, before: Belief, chart: Chart, row: Rows, noise: Noise) -> tuple[Belief, Tensor]:
        """The belief after a row's observations, and minus their log density in model units ``[batch]``.

        What is not known of ``z`` makes a normal relative change in a row. Over ``k`` rows without an observation, in
        which it acts alike, it is nearly the ``k``-th root of the whole change that is so. How many they were in effect
        is told by variances: that of a sum of ``k`` equal terms is ``k`` times the sum of theirs. What comes from
        before, and an error of measurement, lies on the logarithm.
        """
        if chart.stretch is not None:
            variance = before.covariance.diagonal(dim1=1, dim2=2).narrow(1, 0, self.n_obs)
            chart = Chart(chart.stretch * (before.fresh / (variance + noise.value)).clamp(max=1.0).detach())
        innovation, log_growth = chart.local((row.value - before.y) * row.mask)
        done = conditioned(before.covariance, innovation, row.mask, noise.value, row.censor, self.robust)
        local, shift = done.shift.split([self.n_obs, self.n - self.n_obs], dim=-1)
        covariance, surprise = done.covariance, done.surprise
        if chart.stretch is not None:
            unit = F.pad(1 / chart.growth(local), (0, self.n - self.n_obs), value=1.0)
            covariance = covariance * (unit.unsqueeze(1) * unit.unsqueeze(2))
            # A density of the local change becomes one of the value.
            surprise = surprise - (row.mask * log_growth).sum(-1)
        seen = torch.maximum(before.seen, row.mask)
        fresh = torch.where(row.mask > 0, 0.0, before.fresh)
        after = Belief(before.y + chart.change(local), before.z + shift, covariance, before.memory, seen, fresh)
        return after, surprise


def _last(covariance: Tensor, n: int) -> Tensor:
    """The block of the last ``n`` numbers."""
    start = covariance.shape[1] - n
    return covariance.narrow(1, start, n).narrow(2, start, n)
