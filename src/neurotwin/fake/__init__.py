"""A bundle that nobody trained, to build and test applications with: its numbers mean nothing.

It has one of each kind of channel: two variables (one on a log scale), a bolus, an infusion and a setting, a covariate
that is a number and one that is a level. It answers, warns and abstains by the same rules as any other bundle.
`scripts/make_fake_bundle.py` made it.
"""

from pathlib import Path
from typing import Any

from neurotwin.runtime import Predictor


def fake_bundle() -> Path:
    """The bundle's folder, for ``neurotwin serve`` and all that takes a bundle."""
    return Path(__file__).parent / "fake@1.0.0"


def fake_predictor() -> Predictor:
    """The bundle, loaded."""
    return Predictor.load(fake_bundle())


def fake_patient(identity: str = "fake-1") -> dict[str, Any]:
    """A patient document that the bundle answers."""
    return {
        "id": identity,
        "time_unit": "d",
        "static": {"age": {"value": 50, "unit": "a"}, "sex": "f"},
        "observations": [
            {"t": t, "variable": name, "value": value, "unit": unit}
            for t, volume, warmth in ((0, 20.0, 37.0), (20, 24.0, 37.2), (40, 22.0, 36.9))
            for name, value, unit in (("volume", volume, "cm3"), ("temperature", warmth, "Cel"))
        ],
        "treatments": [{"t": 10, "treatment": "chemo", "amount": 5, "unit": "mg"}],
    }


def fake_plan(name: str = "one more dose", dose: float = 5.0) -> dict[str, Any]:
    """A plan that the bundle answers."""
    return {
        "name": name,
        "time_unit": "d",
        "treatments": [{"t": 7, "treatment": "chemo", "amount": dose, "unit": "mg"}],
        "query": {"every": 10, "until": 60},
    }
