"""Parameters of a patient by an exact recursion: the extended Kalman filter of state and parameters."""

import math

import torch
from torch import Tensor, nn

from neurotwin.models.mechanism.links import bounded
from neurotwin.models.mechanism.personal import PersonalMechanism
from neurotwin.models.posterior.gaussian_filter import lower_factor
from neurotwin.models.posterior.gaussian_steps import PACE, Differences, StateNoise
from neurotwin.models.surrogate import linear
from neurotwin.solvers import Rows

MOST_FOLDS = 5.0
"""Of the logarithm of a relative difference."""
LARGEST_SHARE = 0.1
"""Variance of a logarithm up to which differences count as shares, where they are asked to."""


class RecursivePosterior(nn.Module):
    """Gaussian belief about the uncertain states and the parameters phi, which are constant in time.

    Continuous-discrete extended Kalman filter (Jazwinski, Stochastic Processes and Filtering Theory, 1970, ch. 8), with
    phi' = 0. A row carries the belief through the mechanism's own step, linearised about its mean by differences; a
    visit updates it, variable by variable, in Joseph's form. Where the mechanism is affine in what is uncertain, as the
    logarithm of a Gompertz tumour is in its rates on the ``identity`` scale, this is Bayesian linear regression of
    increments, exactly. The prior, a Gaussian whose mean is linear in the covariates, and all noise are learned.

    A visit further than ``robust`` standard deviations off is taken for a jump of the observed states or for an
    outlying measurement, in proportion to the two variances, and moves the parameters less.

    With ``relative``, surprises of variables and states on the log scale count as relative differences instead of
    differences of logarithms: the same belief to first order, and the exact one where the mechanism takes away or adds
    shares, as a daily map does.

    The core is ``[state | phi | covariance]``.

    Args:
        prior_sd: of every parameter at first, on its link's scale.
        robust: standard deviations; 0 takes each visit as it is.
    """

    precision = torch.float64
    """Of the recursion: it takes small differences of large numbers, and each library rounds those in its own way."""
    pick: Tensor
    unpick: Tensor
    keep: Tensor
    eye: Tensor
    lanes_state: Tensor
    lanes_free: Tensor

    def __init__(
        self,
        mechanism: PersonalMechanism,
        noise: StateNoise,
        n_static: int,
        *,
        prior_sd: float,
        robust: float,
        relative: bool,
    ) -> None:
        super().__init__()
        self.mechanism, self.noise, self.robust, self.relative = mechanism, noise, robust, relative
        n, k, n_all = mechanism.n_state, mechanism.n_free, len(mechanism.free) + len(mechanism.start)
        pick = torch.eye(n)[mechanism.structure.uncertain]
        self.n_uncertain, self.size = len(pick), len(pick) + k
        self.blocks = (n, k, self.size**2)
        self.core_size, self.n_learned = sum(self.blocks), n + k
        self.around, self.around_prior = Differences(self.size), Differences(n_all)
        self.register_buffer("pick", pick)
        # A copy: a loop that is exported must not see one memory twice.
        self.register_buffer("unpick", pick.T.clone(memory_format=torch.contiguous_format))
        self.register_buffer("eye", torch.eye(self.size))
        self.register_buffer("keep", torch.eye(self.size)[len(pick) :].clone())
        self.register_buffer("lanes_state", self.around.steps[:, : len(pick)] @ pick)
        self.register_buffer("lanes_free", self.around.steps[:, len(pick) :].clone())
        self.prior_mean = linear(n_static, n_all)
        nn.init.zeros_(self.prior_mean.weight)
        nn.init.zeros_(self.prior_mean.bias)
        self.prior_log_sd = nn.Parameter(torch.full((n_all,), prior_sd).log() / PACE)
        self.prior_below = nn.Parameter(torch.zeros(n_all, n_all))

    @property
    def prior_factor(self) -> Tensor:
        """``[parameter, parameter]`` lower triangular, of the covariance of free and start parameters."""
        correlated = torch.eye(len(self.prior_log_sd), device=self.prior_below.device) + self.prior_below.tril(-1)
        return torch.exp(PACE * self.prior_log_sd).unsqueeze(-1) * correlated

    def initial(self, static: Tensor) -> Tensor:
        """Core ``[batch, core]`` before the first event."""
        mean = self.prior_mean(static)
        lanes = mean.unsqueeze(1) + self.around_prior.steps
        begun = self.mechanism.begin(lanes.flatten(0, 1)).unflatten(0, (-1, len(self.around_prior.steps)))
        state, derivative = self.around_prior.of(begun)
        free = torch.eye(self.around_prior.size, device=mean.device)[: self.mechanism.n_free]
        spread = torch.cat([self.pick @ derivative, free.expand(mean.shape[0], -1, -1)], dim=1) @ self.prior_factor
        covariance = spread @ spread.transpose(1, 2)
        return torch.cat([state, mean[:, : self.mechanism.n_free], covariance.flatten(1)], dim=-1)

    def step(
        self, core: Tensor, t: Tensor, row: Rows, static: Tensor, *, observe: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One row: core at its end, core where it is asked, minus log evidence of its visit ``[batch]``, and the
        residual's share ``[batch, state]``."""
        xi, phi, flat = core.split(list(self.blocks), dim=-1)
        pick = self.pick.to(xi)
        lanes = xi.unsqueeze(1) + self.lanes_state, phi.unsqueeze(1) + self.lanes_free
        moved = self.mechanism.move(t, *lanes, row, static)
        end, derivative = self.around.of(moved.end)
        begun, asked, share = (self.around.of(item)[0] for item in (moved.begun, moved.asked, moved.share))
        flow = torch.cat([pick @ derivative, self.keep.to(xi).expand(xi.shape[0], -1, -1)], dim=1)
        walked = self._of_uncertain(self.noise.walked(row.dt / self.mechanism.scaler.time, begun, end))
        covariance = flow @ flat.unflatten(-1, (self.size, self.size)) @ flow.transpose(1, 2)
        covariance = covariance + walked.unsqueeze(-1) * self.eye
        evidence = torch.zeros_like(t)
        if observe:
            change, covariance, evidence = self._learn(end, phi, covariance, walked, row)
            to_state, to_free = change.split([self.n_uncertain, self.mechanism.n_free], dim=-1)
            end, phi_after = end + to_state @ pick, phi + to_free
        else:
            phi_after = phi
        after = torch.cat([end, phi_after, covariance.flatten(1)], dim=-1)
        return after, torch.cat([asked, phi, flat], dim=-1), evidence, share

    def factor(self, core: Tensor, known: Tensor) -> Tensor:
        """``[batch, size, size]`` triangular factor of the belief about ``[uncertain state | phi]``."""
        return lower_factor(core[:, sum(self.blocks[:2]) :].unflatten(-1, (self.size, self.size)))

    def prior(self, static: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of phi ``[batch, free]`` before any visit."""
        n, sd = self.mechanism.n_free, torch.sqrt((self.prior_factor**2).sum(-1))
        mean = self.prior_mean(static)[:, :n]
        return mean, sd[:n].expand_as(mean)

    def _learn(
        self, end: Tensor, phi: Tensor, covariance: Tensor, walked: Tensor, row: Rows
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Change of ``[uncertain state | phi]``, covariance after it and minus log evidence, of the row's visit."""
        lanes = end.unsqueeze(1) + self.lanes_state, phi.unsqueeze(1) + self.lanes_free
        expected, slopes = self.around.of(self.mechanism.observe(*lanes))
        change = torch.zeros_like(covariance.sum(-1))
        evidence = torch.zeros_like(row.dt)
        rate = self._of_uncertain(self.noise.rate.expand_as(end))
        logs = self._of_uncertain(self.mechanism.coordinates.log.unsqueeze(0)) > 0
        columns = (row.value - expected, row.mask, self.noise.assay.expand_as(expected))
        scales = zip(self.mechanism.scaler.is_log.split(1), self.mechanism.scaler.deviation.split(1), strict=True)
        parts = zip(*(item.split(1, dim=-1) for item in columns), slopes.split(1, dim=1), scales, strict=True)
        for apart, seen, assay, slope, (is_log, deviation) in parts:
            along = slope.squeeze(1)
            innovation = apart - (along * change).sum(-1, keepdim=True)
            variance = (along * (covariance @ slope.transpose(1, 2)).squeeze(-1)).sum(-1, keepdim=True) + assay
            # A relative difference from what is hardly known means nothing: its logarithm does.
            by_share = (is_log > 0) & (variance * deviation.square() < LARGEST_SHARE) & self.relative
            folds = bounded(innovation * deviation, -MOST_FOLDS, MOST_FOLDS)
            innovation = torch.where(by_share, torch.expm1(folds) / deviation, innovation)
            if self.robust:
                excess = bounded(innovation.square() / (self.robust**2) - variance, 0.0)
                by_walk = (along.square() * walked).sum(-1, keepdim=True)
                by_walk = by_walk / (by_walk + assay)
                per_rate = bounded((along.square() * rate).sum(-1, keepdim=True), 1e-10)
                jumped = seen * excess * by_walk / per_rate * rate
                covariance = covariance + jumped.unsqueeze(-1) * self.eye
                assay = assay + excess * (1 - by_walk)
                variance = variance + excess
            gain = seen * (covariance @ slope.transpose(1, 2)).squeeze(-1) / variance
            moved = gain * innovation
            change = change + torch.where(by_share & logs, torch.log1p(bounded(moved, -0.999)), moved)
            left = self.eye - gain.unsqueeze(-1) * slope
            measured = (gain * torch.sqrt(assay)).unsqueeze(-1)
            covariance = left @ covariance @ left.transpose(1, 2) + measured @ measured.transpose(1, 2)
            loss = innovation.square() / variance + torch.log(variance) + math.log(2 * math.pi)
            # The density of what was seen, not of its relative difference.
            evidence = evidence + (seen * (0.5 * loss - torch.where(by_share, folds, 0.0))).squeeze(-1)
        return change, covariance, evidence

    def _of_uncertain(self, states: Tensor) -> Tensor:
        """``[batch, state]`` to ``[batch, uncertain state and phi]``, 0 for phi."""
        return nn.functional.pad(states @ self.unpick.to(states), (0, self.mechanism.n_free))
