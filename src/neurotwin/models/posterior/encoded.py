"""Parameters of a patient from a recurrent encoder that is told, visit by visit, what changed and what surprised."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurotwin.models.activation import softplus
from neurotwin.models.mechanism.personal import PersonalMechanism
from neurotwin.models.posterior.gaussian_steps import Differences, StateNoise
from neurotwin.models.surrogate import linear
from neurotwin.solvers import Rows


class EncodedPosterior(nn.Module):
    """A GRU cell (Cho et al., EMNLP 2014) that steps at visits; location and spread of phi are read from its memory.

    A visit is told as values, surprise (seen less expected), change since the last visit, what was given meanwhile and
    how long it took: past relative growth is what a patient's own rates show in. A learned gain pulls the observed
    states towards what was seen.

    The core is ``[state | phi | memory | last | exposure | elapsed]``.

    Args:
        memory: length of the memory.
        hidden: width of the networks.
    """

    precision: torch.dtype | None = None
    """That of its weights."""
    pick: Tensor
    unpick: Tensor
    lanes: Tensor

    def __init__(
        self, mechanism: PersonalMechanism, noise: StateNoise, n_static: int, *, memory: int, hidden: int
    ) -> None:
        super().__init__()
        self.mechanism, self.noise = mechanism, noise
        n, k, n_obs, n_control = (
            mechanism.n_state,
            mechanism.n_free,
            len(noise.log_assay),
            len(mechanism.scaler.treatment),
        )
        pick = torch.eye(n)[mechanism.structure.uncertain]
        self.n_uncertain, self.size = len(pick), len(pick) + k
        self.blocks = (n, k, memory, n_obs, n_control, 1)
        self.core_size, self.n_learned = sum(self.blocks), n + k + memory
        self.around = Differences(len(pick))
        self.register_buffer("pick", pick)
        # A copy: a loop that is exported must not see one memory twice.
        self.register_buffer("unpick", pick.T.clone(memory_format=torch.contiguous_format))
        self.register_buffer("lanes", self.around.steps @ pick)
        self.start = linear(n_static, memory)
        self.of_start = linear(n_static, len(mechanism.start))
        self.location = nn.Linear(memory, k)
        nn.init.zeros_(self.location.bias)
        told = 4 * n_obs + n_control + 1 + memory + k + n_static
        self.reading = nn.Sequential(nn.Linear(told, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.memorise = nn.GRUCell(hidden, memory)
        self.gain = nn.Linear(hidden, n_obs)
        nn.init.constant_(self.gain.bias, 2.0)
        self.log_surprise = nn.Parameter(torch.zeros(n_obs))
        width = nn.Linear(hidden, self.size)
        nn.init.constant_(width.bias, -2.0)
        self.spread = nn.Sequential(nn.Linear(memory + 1 + n_obs, hidden), nn.SiLU(), width)

    def initial(self, static: Tensor) -> Tensor:
        """Core ``[batch, core]`` before the first event."""
        memory = torch.tanh(self.start(static))
        phi = self.location(memory)
        xi = self.mechanism.begin(torch.cat([phi, self.of_start(static)], dim=-1))
        return F.pad(torch.cat([xi, phi, memory], dim=-1), (0, sum(self.blocks[3:])))

    def step(
        self, core: Tensor, t: Tensor, row: Rows, static: Tensor, *, observe: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One row: core at its end, core where it is asked, minus log evidence of its visit ``[batch]``, and the
        residual's share ``[batch, state]``."""
        xi, phi, memory, last, exposure, elapsed = core.split(list(self.blocks), dim=-1)
        moved = self.mechanism.move(t, xi.unsqueeze(1), phi.unsqueeze(1), row, static)
        span = (row.dt / self.mechanism.scaler.time).unsqueeze(-1)
        exposure, elapsed = exposure + row.jump + row.control * span, elapsed + span
        asked = torch.cat([moved.asked.squeeze(1), phi, memory, last, exposure, elapsed], dim=-1)
        end, evidence = moved.end.squeeze(1), torch.zeros_like(t)
        after = torch.cat([end, phi, memory, last, exposure, elapsed], dim=-1)
        if observe:
            learned, evidence = self._learn(after, row, static)
            after = torch.where((row.mask > 0).any(-1, keepdim=True), learned, after)
        return after, asked, evidence, moved.share.squeeze(1)

    def factor(self, core: Tensor, known: Tensor) -> Tensor:
        """``[batch, size, size]`` diagonal factor of the belief about ``[uncertain state | phi]``; ``known`` is what
        the packed state counts: visits, and which variables were seen."""
        memory = core[:, sum(self.blocks[:2]) : sum(self.blocks[:3])]
        spread = softplus(self.spread(torch.cat([memory, known], dim=-1)))
        return spread.unsqueeze(-1) * torch.eye(self.size, device=core.device)

    def prior(self, static: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of phi ``[batch, free]`` before any visit."""
        core = self.initial(static)
        nothing = torch.zeros(len(core), 1 + self.blocks[3], device=core.device)
        spread = torch.diagonal(self.factor(core, nothing), dim1=1, dim2=2)
        return core[:, self.blocks[0] : sum(self.blocks[:2])], spread[:, self.n_uncertain :]

    def _learn(self, core: Tensor, row: Rows, static: Tensor) -> tuple[Tensor, Tensor]:
        """Core after the visit at a row's end, and minus log evidence of the visit ``[batch]``."""
        end, phi, memory, last, exposure, elapsed = core.split(list(self.blocks), dim=-1)
        lanes = end.unsqueeze(1) + self.lanes, phi.unsqueeze(1).expand(-1, self.lanes.shape[0], -1)
        expected, slopes = self.around.of(self.mechanism.observe(*lanes))
        surprise, change = (row.value - expected) * row.mask, (row.value - last) * row.mask
        # How far a first guess is off says nothing by itself, and may be far.
        told = [row.value, row.mask, surprise.clamp(-10.0, 10.0), change, exposure, elapsed, memory, phi, static]
        read = self.reading(torch.cat(told, dim=-1))
        learned = self.memorise(read, memory)
        end = end + self._pulled(slopes, surprise, torch.sigmoid(self.gain(read))) @ self.pick
        kept = torch.where(row.mask > 0, row.value, last)
        anew = torch.cat([torch.zeros_like(exposure), torch.zeros_like(elapsed)], dim=-1)
        loss = surprise.square() * torch.exp(-2 * self.log_surprise) + 2 * self.log_surprise + math.log(2 * math.pi)
        after = torch.cat([end, self.location(learned), learned, kept, anew], dim=-1)
        return after, 0.5 * (loss * row.mask).sum(-1)

    def _pulled(self, slopes: Tensor, surprise: Tensor, gain: Tensor) -> Tensor:
        """Change ``[batch, uncertain state]`` that brings what is expected a share ``gain`` nearer to what was seen, by
        the observed states in proportion to how freely each walks."""
        rate = (self.noise.rate @ self.unpick).unsqueeze(0)
        change = torch.zeros_like(slopes.sum(1))
        for slope, off, share in zip(
            slopes.split(1, dim=1), surprise.split(1, dim=-1), gain.split(1, dim=-1), strict=True
        ):
            along = slope.squeeze(1)
            left = off - (along * change).sum(-1, keepdim=True) * (off != 0)
            moved = along * rate
            change = change + share * left * moved / ((along * moved).sum(-1, keepdim=True) + 1e-10)
        return change
