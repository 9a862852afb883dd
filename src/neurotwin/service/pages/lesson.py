"""A simulated patient to learn from: the simulator and the population that a bundle was trained on, stepped by hand.

Nothing is kept between two questions: a patient is its number, the visits so far and the treatments so far. Needs the
extra ``simulate``.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.bundle import strict_json
from neurotwin.errors import InputError, SimulationError
from neurotwin.events import Doses
from neurotwin.runtime import Predictor
from neurotwin.runtime.documents import TreatmentRecord
from neurotwin.runtime.reading import Notes
from neurotwin.service.faults import NotOffered
from neurotwin.simulators.population import Population
from neurotwin.simulators.protocols import Protocol, VisitTimes
from neurotwin.simulators.simulator import Simulator
from neurotwin.simulators.trial import act_out, draw_block
from neurotwin.solution import OK

CARD = "training/data_card.json"
PARTS = re.compile(r"neurotwin\.simulators\.[a-z0-9_]+")
SEED = 977_001
"""Of the patients to learn from. No configuration of the project trains on it."""
TRUTH_POINTS = 200


@dataclass(frozen=True)
class Lesson:
    """What patients of a lesson are made of.

    Attributes:
        predictor: whose twin learns with the learner.
        assays: how variables are measured.
        horizon, interval: length of the trial, and time between its visits, in the simulator's time unit.
    """

    predictor: Predictor
    simulator: Simulator
    population: Population
    assays: tuple[Any, ...]
    horizon: float
    interval: float

    @classmethod
    def of(cls, predictor: Predictor) -> Lesson:
        """Raises NotOffered for a bundle that was not trained on a simulator of the library."""
        told = _provenance(predictor)
        simulator, population = _made(told.get("simulator")), _made(told.get("population"))
        if not isinstance(simulator, Simulator) or not hasattr(population, "draw"):
            raise _none()
        names = [one.name for one in simulator.variables]
        if not {one.name for one in predictor.signature.variables} <= set(names):
            raise _none()
        protocol = told.get("protocol") or {}
        horizon = float(protocol.get("horizon") or predictor.signature.horizon)
        interval = (protocol.get("visits") or {}).get("interval")
        return cls(
            predictor,
            simulator,
            population,
            tuple(one for one in map(_made, protocol.get("assays") or ()) if hasattr(one, "measure")),
            min(horizon, predictor.signature.horizon),
            float(interval or horizon / 20),
        )

    def patient(self, number: int, visits: Sequence[float], records: Sequence[TreatmentRecord]) -> dict[str, Any]:
        """The patient document: what was measured at the visits, and what was given."""
        block, value = self._course(number, visits, self._doses(records))
        signature, rows = self.predictor.signature, []
        assays = {one.variable: one for one in self.assays}
        for channel in signature.variables:
            index = [one.name for one in self.simulator.variables].index(channel.name)
            seen = value[:, index]
            if channel.name in assays:
                seen, _ = assays[channel.name].measure(seen, block.noise[:, index])
            rows += [
                {"t": float(t), "variable": channel.name, "value": float(f"{one:.4g}"), "unit": channel.unit}
                for t, one in zip(visits, seen, strict=True)
            ]
        return {
            "id": f"simulated-{number}",
            "time_unit": signature.time_unit,
            "static": self._statics(block.statics[0]),
            "observations": sorted(rows, key=lambda row: row["t"]),
            "treatments": [_plain(record) for record in records],
        }

    def truth(
        self, number: int, visits: Sequence[float], records: Sequence[TreatmentRecord]
    ) -> dict[str, list[list[float]]]:
        """The course without assay error up to the last visit, ``[t, value]`` by variable, visits included."""
        times = np.union1d(np.linspace(0.0, visits[-1], TRUTH_POINTS), visits)
        _, value = self._course(number, times.tolist(), self._doses(records))
        names = [one.name for one in self.simulator.variables]
        return {
            channel.name: [
                [float(t), float(one)] for t, one in zip(times, value[:, names.index(channel.name)], strict=True)
            ]
            for channel in self.predictor.signature.variables
        }

    def _course(self, number: int, times: Sequence[float], doses: Doses) -> tuple[Any, NDArray[np.float64]]:
        """What was drawn for the patient, and the variables ``[visit, obs]``."""
        protocol = Protocol(self.horizon, VisitTimes(tuple(times)), self.assays)
        block = draw_block(self.simulator, self.population, protocol, np.array([number]), SEED)
        block = block._replace(planned=doses)
        course = act_out(block, protocol)
        if course.status[0] != OK:
            raise SimulationError("the equations have no solution", where="lesson", remedy="choose another patient")
        return block, course.value

    def _doses(self, records: Sequence[TreatmentRecord]) -> Doses:
        """In the simulator's order of treatments; raises InputError for what the model does not know."""
        notes = Notes()
        doses = self.predictor.reader.doses_of(records, 1.0, "", notes)
        if notes.refused:
            raise InputError(
                "a treatment that cannot be given", where="body: treatments", expected="as the model knows"
            )
        names = [one.name for one in self.simulator.treatments]
        order = [names.index(one.name) for one in self.predictor.signature.treatments]
        treatment = [order[index] for index in doses.treatment]
        return Doses.of(np.zeros(len(doses)), doses.time, doses.end, treatment, doses.amount)

    def _statics(self, raw: NDArray[np.float64]) -> dict[str, Any]:
        known = {one.name: one for one in self.predictor.signature.statics}
        found: dict[str, Any] = {}
        for static, value in zip(self.simulator.statics, raw, strict=True):
            if static.name in known and np.isfinite(value):
                level = static.levels[int(value)] if static.levels else None
                found[static.name] = level or {"value": float(value), "unit": static.unit}
        return found


def _plain(record: TreatmentRecord) -> dict[str, Any]:
    names = ("t", "treatment", "amount", "rate", "level", "t_end", "unit")
    return {name: value for name in names if (value := getattr(record, name)) is not None}


def _provenance(predictor: Predictor) -> Mapping[str, Any]:
    """What the bundle says of its data, if the file is the one that was released."""
    bundle = predictor.bundle
    recorded = bundle.manifest["files"].get(CARD)
    try:
        raw = (bundle.path / CARD).read_bytes()
        if recorded is None or hashlib.sha256(raw).hexdigest() != recorded["sha256"]:
            raise _none()
        told = strict_json(raw)["provenance"]
    except (OSError, ValueError, KeyError, TypeError):
        raise _none() from None
    if not isinstance(told, dict) or told.get("source") != "simulation":
        raise _none()
    return told


def _made(told: Any) -> Any:
    """The part that a target names, or raise: only dataclasses of neurotwin.simulators, whatever a bundle says."""
    if not isinstance(told, dict):
        return told
    content = dict(told)
    module, _, name = str(content.pop("_target_", "")).rpartition(".")
    try:
        if not PARTS.fullmatch(module):
            raise _none()
        kind = getattr(importlib.import_module(module), name)
        if not (isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module):
            raise _none()
        return kind(**{key: _made(value) if isinstance(value, dict) else value for key, value in content.items()})
    except (ImportError, AttributeError, TypeError, ValueError, SimulationError):
        raise _none() from None


def _none() -> NotOffered:
    return NotOffered(
        "no simulated patients for this model",
        where="bundle: training",
        expected="a bundle that was trained on a simulator of this library",
    )
