"""The predictor: a bundle's two graphs behind arrays. Torch-free."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from neurotwin.bundle import ASSIMILATE, FORECAST, Bundle
from neurotwin.calibration import Calibration
from neurotwin.episodes import Episodes, Forecast
from neurotwin.errors import BundleError, IntegrityError
from neurotwin.runtime.reading import Reader
from neurotwin.schema import Schema
from neurotwin.timeline import Timeline

Array = NDArray[np.float64]
CHUNK = 1024


class Predictor:
    """Answers with a bundle. Immutable after loading; safe to share between threads.

    Attributes:
        bundle: what it answers with.
        schema: what the channels mean.
        calibration: conformal factors; a site may put its own in their place (`recalibrated`).
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle, signature = bundle, bundle.signature
        try:
            self.schema = Schema.parse(signature["schema"], where="signature.json")
            self.reader = Reader(signature, self.schema)
            self.levels = np.array(signature["quantile_levels"], dtype=np.float64)
            self.max_step, self.state_size = float(signature["max_step"]), int(signature["state"]["size"])
            self.horizon, self.n_draws = float(signature["trained_horizon"]), int(signature["draws"])
            self.min_visits, self.threshold = int(signature["min_visits"]), float(signature["support"]["threshold"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the signature lacks or garbles something ({type(error).__name__})", where="signature.json") from None
        self.calibration = Calibration.from_dict(dict(bundle.calibration))
        self._assimilate = _Graph(bundle.graphs[ASSIMILATE], ASSIMILATE, threads)
        self._forecast = _Graph(bundle.graphs[FORECAST], FORECAST, threads)

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1) -> "Predictor":
        """Load a bundle, check every hash and answer its golden cases.

        Raises:
            BundleError: something is missing or contradicts itself.
            IntegrityError: a file does not match its hash, or a golden case is answered otherwise.
        """
        predictor = cls(Bundle.load(path), threads=threads)
        predictor.check_golden()
        return predictor

    def check_golden(self) -> None:
        """Raises IntegrityError unless this machine answers the golden cases as the exporter did."""
        golden = self.bundle.golden
        try:
            for number, case in enumerate(golden["cases"]):
                for graph, name in ((self._assimilate, "assimilate"), (self._forecast, "forecast")):
                    found = graph.run({key: _array(item) for key, item in case[name]["inputs"].items()})
                    for key, item in case[name]["outputs"].items():
                        if not np.allclose(found[key], _array(item), rtol=golden["relative_tolerance"], atol=golden["absolute_tolerance"]):
                            raise IntegrityError(f"golden case {number} is answered otherwise ({name}: {key})", where=str(self.bundle.path),
                                                 expected="the recorded answer", remedy="use another onnxruntime version")  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"the golden cases cannot be read ({type(error).__name__})", where="golden.json") from None

    def assimilate(self, timeline: Timeline, state: NDArray[np.float32] | None = None) -> tuple[NDArray[np.float32], Array]:
        """Packed states ``[batch, state]`` after the events, and support scores ``[batch]``.

        Args:
            timeline: events after the state's clock (or all of them), cut to ``max_step``.
            state: ``[batch, state]``, or None for subjects not seen before.
        """
        n = timeline.n_subjects
        fresh = np.full(n, 1.0 if state is None else 0.0)
        before = np.zeros((n, self.state_size)) if state is None else state
        found = self._assimilate.run({
            "state": before, "fresh": fresh, "start": timeline.start, "static": timeline.static, "static_mask": timeline.static_mask,
            "dt": timeline.dt, "control": timeline.control, "jump": timeline.jump, "value": timeline.value, "mask": timeline.mask,
        })  # fmt: skip
        return found["new_state"], found["support"].astype(np.float64)

    def forecast(self, state: NDArray[np.float32], timeline: Timeline) -> dict[str, Array]:
        """``mean``, ``quantiles``, ``draws`` and, where the method has one, ``step_error``, each ``[batch, row, ...]``,
        in the variables' units."""
        found = self._forecast.run({
            "state": state, "dt": timeline.dt, "control": timeline.control, "jump": timeline.jump, "query_at": timeline.query_at,
            "peek": timeline.peek,
        })  # fmt: skip
        return {name: value.astype(np.float64) for name, value in found.items()}

    def __call__(self, episodes: Episodes) -> Forecast:
        """Answer episodes, uncalibrated, as any other callable that is evaluated."""
        parts = [self._answer(episodes.take(np.arange(first, min(first + CHUNK, len(episodes))))) for first in range(0, len(episodes), CHUNK)]
        quantiles, draws = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Forecast(self.levels, quantiles, draws if self.n_draws > 1 else None, np.isfinite(quantiles).all(axis=(1, 2)))

    def _answer(self, episodes: Episodes) -> tuple[Array, Array]:
        state, _ = self.assimilate(episodes.history(self.max_step))
        plan = episodes.plan(self.max_step)
        found = self.forecast(state, plan)
        place = (episodes.queries.subject, plan.query_row)
        return found["quantiles"][place], found["draws"][place]


class _Graph:
    """One ONNX graph with its inputs by name."""

    def __init__(self, content: bytes, name: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            self.session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no base but Exception
            raise BundleError(f"the graph cannot be loaded ({type(error).__name__})", where=name, remedy="fetch the bundle again") from None
        self.session.disable_fallback()
        self.inputs = [item.name for item in self.session.get_inputs()]
        self.outputs = [item.name for item in self.session.get_outputs()]

    def run(self, given: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        arrays = {name: np.ascontiguousarray(given[name], dtype=np.float32) for name in self.inputs}
        return dict(zip(self.outputs, self.session.run(None, arrays), strict=True))


def _array(item: Mapping[str, Any]) -> NDArray[np.float64]:
    data = np.array([math.nan if value is None else value for value in item["data"]], dtype=np.float64)
    return data.reshape(item["shape"])
