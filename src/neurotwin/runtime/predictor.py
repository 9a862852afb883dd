"""The predictor: a bundle's two graphs behind arrays. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from neurotwin.bundle import ASSIMILATE, FORECAST, Bundle
from neurotwin.calibration import Calibration
from neurotwin.episodes import Episodes, Forecast
from neurotwin.errors import BundleError, IntegrityError, SchemaError
from neurotwin.landmarks import ask_cuts, given_free
from neurotwin.runtime.channels import Signature
from neurotwin.runtime.graph import Graph
from neurotwin.runtime.paired import PairedCalibration
from neurotwin.runtime.reading import Reader
from neurotwin.timeline import Timeline

if TYPE_CHECKING:  # an answer needs no pydantic
    from neurotwin.schema import Schema

Array = NDArray[np.float64]
CHUNK = 1024
LOOSEST = 1e-2
"""Tolerance above which a golden case proves nothing."""


class Predictor:
    """Answers with a bundle. Immutable after loading; safe to share between threads.

    Attributes:
        bundle: what it answers with.
        signature: its channels and sizes, checked.
        calibration: its conformal factors.
        paired: the same of paired differences, where the bundle has them.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.signature = Signature.of(bundle.signature)
        self.reader = Reader(self.signature)
        self.levels = np.array(self.signature.levels, dtype=np.float64)
        self.calibration = Calibration.from_dict(dict(bundle.calibration))
        _check_calibration(self.calibration, self.signature)
        self.paired = PairedCalibration.of(bundle.calibration, self.signature)
        sizes = _sizes(self.signature)
        self._assimilate = Graph(
            bundle.graphs[ASSIMILATE],
            ASSIMILATE,
            inputs=sizes,
            outputs=_pick(sizes, "new_state", "support"),
            threads=threads,
        )
        more = {"step_error": _tells_error(bundle.signature), "incidence": bool(self.signature.outcomes)}
        outputs = _pick(sizes, "mean", "quantiles", "draws", *(name for name, told in more.items() if told))
        self._forecast = Graph(bundle.graphs[FORECAST], FORECAST, inputs=sizes, outputs=outputs, threads=threads)

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1) -> Predictor:
        """Load a bundle, check every hash and answer its golden cases.

        Raises:
            BundleError: something is missing or contradicts itself.
            IntegrityError: a file does not match its hash, or a golden case is answered otherwise.
        """
        predictor = cls(Bundle.load(path), threads=threads)
        predictor.check_golden()
        return predictor

    @property
    def n_draws(self) -> int:
        """Joint draws of a forecast; 1 for a model that gives none."""
        return self.signature.n_draws

    @property
    def horizon(self) -> float:
        """Longest time ahead, from the last event, that training asked for."""
        return self.signature.horizon

    @cached_property
    def schema(self) -> Schema:
        """What the channels mean, as a cohort's schema. Raises BundleError when the signature holds none."""
        from neurotwin.schema import Schema

        try:
            return Schema.parse(self.bundle.signature["schema"], where="signature.json")
        except SchemaError as error:
            raise BundleError(error.what, where=error.where) from None

    def check_golden(self) -> None:
        """Raises IntegrityError unless this machine answers the golden cases as the exporter did."""
        golden = self.bundle.golden
        try:
            relative, absolute, cases = (
                float(golden["relative_tolerance"]),
                float(golden["absolute_tolerance"]),
                golden["cases"],
            )
            if not cases or not 0 <= relative <= LOOSEST or not 0 <= absolute <= LOOSEST:
                raise BundleError(
                    "no golden cases, or tolerances that prove nothing",
                    where="golden.json",
                    expected=f"tolerances up to {LOOSEST}",
                )
            for number, case in enumerate(cases):
                for graph, name in ((self._assimilate, "assimilate"), (self._forecast, "forecast")):
                    found = graph.run({key: _array(item) for key, item in case[name]["inputs"].items()})
                    recorded = {key: _array(case[name]["outputs"][key]) for key in graph.outputs}
                    for key, value in recorded.items():
                        if value.shape != found[key].shape or not np.allclose(
                            found[key], value, rtol=relative, atol=absolute
                        ):
                            raise IntegrityError(
                                f"golden case {number} is answered otherwise ({name}: {key})",
                                where=str(self.bundle.path),
                                expected="the recorded answer",
                                remedy="use another onnxruntime version",
                            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(
                f"the golden cases cannot be read ({type(error).__name__})", where="golden.json"
            ) from None

    def assimilate(
        self, timeline: Timeline, state: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], Array]:
        """Packed states ``[batch, state]`` after the events, and support scores ``[batch]``.

        Args:
            timeline: events after the state's clock (or all of them), cut to ``max_step``.
            state: ``[batch, state]``, or None for subjects not seen before.
        """
        n = timeline.n_subjects
        fresh = np.full(n, 1.0 if state is None else 0.0)
        before = np.zeros((n, self.signature.state_size)) if state is None else state
        found = self._assimilate.run(
            {
                "state": before,
                "fresh": fresh,
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
        return found["new_state"], found["support"].astype(np.float64)

    def forecast(self, state: NDArray[np.float32], timeline: Timeline) -> dict[str, Array]:
        """``mean``, ``quantiles``, ``draws`` and, where the method has one, ``step_error``, each ``[batch, row, ...]``,
        in the variables' units; quantiles are those of latent values, as in `neurotwin.episodes.Forecast`.
        ``incidence`` ``[batch, row, outcome]``, where outcomes are told, counts from the state's clock."""
        found = self._forecast.run(
            {
                "state": state,
                "dt": timeline.dt,
                "control": timeline.control,
                "jump": timeline.jump,
                "query_at": timeline.query_at,
                "peek": timeline.peek,
            }
        )
        return {name: value.astype(np.float64) for name, value in found.items()}

    def calibrated(self, forecast: Forecast, horizon: Array) -> Forecast:
        """The forecast with calibrated intervals of what is recorded; ``horizon`` is ``[query]``, from the plan's
        start."""
        return self.calibration.apply(forecast, horizon, cast("Schema", self.signature))

    def __call__(self, episodes: Episodes) -> Forecast:
        """Answer episodes, uncalibrated, as any other callable that is evaluated."""
        if len(episodes) <= CHUNK:  # as it is: a patient who is asked for alone should not wait for copies
            quantiles, draws, mean, *incidence = self._answer(episodes)
        else:
            parts = [
                self._answer(episodes.take(np.arange(first, min(first + CHUNK, len(episodes)))))
                for first in range(0, len(episodes), CHUNK)
            ]
            quantiles, draws, mean, *incidence = (np.concatenate(column) for column in zip(*parts, strict=True))
        ok = np.isfinite(quantiles).all(axis=(1, 2))
        return Forecast(self.levels, quantiles, draws if self.n_draws > 1 else None, np.asarray(ok), mean, *incidence)

    def _answer(self, episodes: Episodes) -> tuple[Array, ...]:
        if not self.signature.outcomes:
            return self._asked(episodes)
        subject = episodes.queries.subject
        more, old, cut = ask_cuts(episodes)
        *answer, incidence = self._asked(more)
        return (*(part[old] for part in answer), given_free(incidence[old], incidence[cut][subject]))

    def _asked(self, episodes: Episodes) -> tuple[Array, ...]:
        state, _ = self.assimilate(episodes.history(self.signature.max_step))
        plan = episodes.plan(self.signature.max_step)
        found = self.forecast(state, plan)
        place = (episodes.queries.subject, plan.query_row)
        names = ("quantiles", "draws", "mean", *(("incidence",) if self.signature.outcomes else ()))
        return tuple(found[name][place] for name in names)


def _sizes(signature: Signature) -> dict[str, tuple[int | None, ...]]:
    """Sizes of the axes of every tensor; None for batch and row."""
    state, obs, given, static = (
        signature.state_size,
        len(signature.variables),
        len(signature.treatments),
        signature.n_static_columns,
    )
    row, control, seen = (None, None), (None, None, given), (None, None, obs)
    return {
        "state": (None, state),
        "fresh": (None,),
        "start": (None,),
        "static": (None, static),
        "static_mask": (None, static),
        "dt": row,
        "control": control,
        "jump": control,
        "value": seen,
        "mask": seen,
        "query_at": row,
        "peek": row,
        "new_state": (None, state),
        "support": (None,),
        "mean": seen,
        "quantiles": (*seen, len(signature.levels)),
        "draws": (*seen, signature.n_draws),
        "step_error": seen,
        "incidence": (None, None, len(signature.outcomes)),
    }


def _pick(sizes: Mapping[str, tuple[int | None, ...]], *names: str) -> dict[str, tuple[int | None, ...]]:
    return {name: sizes[name] for name in names}


def _tells_error(signature: Mapping[str, Any]) -> bool:
    """Whether the forecast is said to tell its step error."""
    try:
        return any(item["name"] == "step_error" for item in signature["graphs"][FORECAST]["outputs"])
    except (KeyError, TypeError):
        raise BundleError("the signature does not tell the graphs' outputs", where="signature.json") from None


def _check_calibration(calibration: Calibration, signature: Signature) -> None:
    told = dict(zip(calibration.channels, calibration.units, strict=True))
    if calibration.time_unit != signature.time_unit or any(
        told.get(item.name) != item.unit for item in signature.variables
    ):
        raise BundleError(
            "the calibration is that of other channels or times",
            where="calibration.json",
            expected="those of signature.json",
        )


def _array(item: Mapping[str, Any]) -> Array:
    data = np.array([math.nan if value is None else value for value in item["data"]], dtype=np.float64)
    return data.reshape(item["shape"])
