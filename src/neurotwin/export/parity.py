"""Parity: an exported graph is only released when it answers as the model that it was made from."""

from collections.abc import Iterator, Mapping

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from neurotwin.errors import ParityError
from neurotwin.events import Doses, Observations, Queries
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.timeline import Timeline, build_timeline

Arrays = dict[str, NDArray[np.float32]]
TOLERANCE = 1e-5
ROWS = (1, 2, 3, 7, 20, 60, 150, 400)
SHARES = (0.15, 0.15, 0.15, 0.2, 0.2, 0.1, 0.04, 0.01)  # long ones cost most and one of them is always there


class TimelineSource:
    """Random and edge timelines in the ranges that a model was trained on: any batch size, any number of events.

    Values, amounts and covariates are uniform between the extremes seen in training, and a tenth of them are missing;
    doses and visits fall on shared instants often enough, and the first of both at time 0.
    """

    def __init__(self, schema: Schema, scaling: Scaling, max_step: float, seed: int = 0) -> None:
        self.schema, self.scaling, self.max_step = schema, scaling, max_step
        self.rng = np.random.default_rng(seed)

    def statics(self, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Covariates and masks ``[subject, static column]``."""
        raw = np.empty((n, len(self.schema.statics)))
        low, high = iter(self.scaling.static_low), iter(self.scaling.static_high)
        for index, static in enumerate(self.schema.statics):
            bounds = [(next(low), next(high)) for _ in static.columns]
            raw[:, index] = (
                self.rng.integers(len(static.levels), size=n) if static.levels else self.rng.uniform(*bounds[0], n)
            )
        raw[self.rng.random(raw.shape) < 0.1] = np.nan
        return self.schema.encode_statics(raw)

    def timeline(self, n: int, n_events: int, *, past: bool) -> Timeline:
        """``n`` subjects with up to ``n_events`` visits (or queries) and doses each."""
        rng, scaling = self.rng, self.scaling
        span = min(max(scaling.longest, self.max_step), n_events * self.max_step)
        grid = np.sort(rng.uniform(0, span, (n, max(n_events, 1))), axis=1)
        grid[:, 0] = 0.0
        subject = np.repeat(np.arange(n), grid.shape[1])
        time = grid.ravel()
        kept = rng.random(len(time)) < 0.9 if n_events > 1 else np.full(len(time), n_events == 1)
        static, mask = self.statics(n)
        return build_timeline(
            start=np.zeros(n),
            static=static,
            static_mask=mask,
            n_variables=len(self.schema.variables),
            n_treatments=len(self.schema.treatments),
            observations=self._visits(subject[kept], time[kept], past),
            doses=self._doses(subject[kept], time[kept]),
            max_step=self.max_step,
            queries=Queries.of() if past else Queries.of(subject, time + rng.uniform(0, 1, len(time)) * self.max_step),
        )

    def _visits(self, subject: NDArray[np.int64], time: NDArray[np.float64], past: bool) -> Observations:
        tables = [Observations.of([], [], [], [])]
        for index in range(len(self.schema.variables) if past else 0):
            seen = self.rng.random(len(subject)) < 0.9
            value = self.rng.uniform(
                self.scaling.observed_low[index], self.scaling.observed_high[index], int(seen.sum())
            )
            tables.append(Observations.of(subject[seen], time[seen], index, value))
        return Observations.concatenate(*tables)

    def _doses(self, subject: NDArray[np.int64], time: NDArray[np.float64]) -> Doses:
        tables = [Doses.of()]
        for index, treatment in enumerate(self.schema.treatments):
            given = self.rng.random(len(subject)) < 0.3
            begin = time[given]
            end = np.nan if treatment.kind == "bolus" else begin + self.rng.uniform(0.1, 2, len(begin)) * self.max_step
            tables.append(
                Doses.of(
                    subject[given],
                    begin,
                    end,
                    index,
                    self.rng.uniform(0, self.scaling.treatment_high[index], len(begin)),
                )
            )
        return Doses.concatenate(*tables)


def history_arrays(timeline: Timeline, state: NDArray[np.float32]) -> Arrays:
    """Inputs of the assimilate graph for fresh subjects."""
    return _float32(
        {
            "state": state,
            "fresh": np.ones(timeline.n_subjects),
            "start": timeline.start,
            "static": timeline.static,
            "static_mask": timeline.static_mask,
            "dt": timeline.dt,
            "control": timeline.control,
            "jump": timeline.jump,
            "value": timeline.value,
            "mask": timeline.mask,
        }
    )


def plan_arrays(timeline: Timeline, state: NDArray[np.float32]) -> Arrays:
    """Inputs of the forecast graph."""
    return _float32(
        {
            "state": state,
            "dt": timeline.dt,
            "control": timeline.control,
            "jump": timeline.jump,
            "query_at": timeline.query_at,
            "peek": timeline.peek,
        }
    )


def run_torch(module: nn.Module, inputs: Arrays) -> list[NDArray[np.float32]]:
    """The module's answer."""
    with torch.no_grad():
        return [item.numpy() for item in module(*(torch.as_tensor(value) for value in inputs.values()))]


def run_onnx(session: ort.InferenceSession, inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The graph's answer; an input that the graph does not use was dropped by the exporter."""
    used = {item.name for item in session.get_inputs()}
    return list(session.run(None, {name: value for name, value in inputs.items() if name in used}))


def prove_parity(
    assimilate: tuple[nn.Module, ort.InferenceSession],
    forecast: tuple[nn.Module, ort.InferenceSession],
    source: TimelineSource,
    *,
    state_size: int,
    count: int = 1000,
) -> dict[str, float]:
    """Compare graphs and modules on ``count`` timelines or more.

    Returns the worst difference of each output, relative to the channel's scale over the answers compared.

    Raises:
        ParityError: a difference above `TOLERANCE`; says where and by how much.
    """
    pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
    for size, n_events in _sizes(source.rng, count):
        history = history_arrays(source.timeline(size, n_events, past=True), np.zeros((size, state_size), np.float32))
        expected, found = run_torch(assimilate[0], history), run_onnx(assimilate[1], history)
        _collect(pairs, assimilate[1], expected, found)
        plan = plan_arrays(source.timeline(size, n_events, past=False), expected[0])
        _collect(pairs, forecast[1], run_torch(forecast[0], plan), run_onnx(forecast[1], plan))
    # A step error is a small difference of large numbers, in the units of the mean: that is what its rounding goes by.
    worst = {
        name: _worst(answers, pairs["mean"] if name == "step_error" else answers) for name, answers in pairs.items()
    }
    for name, difference in worst.items():
        if not difference <= TOLERANCE:
            raise ParityError(
                f"output {name} differs by {difference:.2e} of its channel's scale",
                where="parity",
                expected=f"at most {TOLERANCE:.0e}",
                remedy="export with --history float64 or a smaller max_step, or report this model",
            )
    return worst


def _sizes(rng: np.random.Generator, count: int) -> Iterator[tuple[int, int]]:
    """Batch sizes and numbers of events: edges first, then at random until there are enough."""
    done = 0
    for size, n_events in [(1, 0), (64, 1), (1, ROWS[-1]), (2, 0), (3, 2)]:
        done += size
        yield size, n_events
    while done < count:
        n_events = int(rng.choice(ROWS, p=SHARES))
        size = int(rng.integers(1, 65)) if n_events < 100 else int(rng.integers(1, 5))
        done += size
        yield size, n_events


def _collect(
    pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]],
    session: ort.InferenceSession,
    expected: list[NDArray[np.float32]],
    found: list[NDArray[np.float32]],
) -> None:
    for item, one, other in zip(session.get_outputs(), expected, found, strict=True):
        if not np.isfinite(one).all():
            raise ParityError(
                "the model itself answers with a number that is not finite",
                where=item.name,
                expected="finite answers in the ranges of training",
                remedy="train with a smaller max_step or longer",
            )
        # Channels stand on axis 2 of what a forecast says; a state's slices and a score are channels of their own.
        channels = one.shape[2] if one.ndim > 2 else one.shape[-1] if one.ndim == 2 else 1
        flat = [
            np.moveaxis(array, min(2, array.ndim - 1), -1).reshape(-1, channels) if array.ndim > 1 else array[:, None]
            for array in (one, other)
        ]
        pairs.setdefault(item.name, []).append((flat[0], flat[1]))


def _worst(
    answers: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    scales: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> float:
    expected, found = (np.concatenate([pair[side] for pair in answers]).astype(np.float64) for side in (0, 1))
    scale = np.maximum(np.abs(np.concatenate([pair[0] for pair in scales]).astype(np.float64)).max(axis=0), 1e-6)
    return float((np.abs(expected - found).max(axis=0) / scale).max())


def _float32(arrays: Mapping[str, NDArray[np.float64] | NDArray[np.float32]]) -> Arrays:
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()}
