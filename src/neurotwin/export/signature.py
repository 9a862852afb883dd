"""signature.json: what goes into the graphs and comes out, in the words of the clinic."""

from typing import Any

from neurotwin.errors import UnitError
from neurotwin.export.graphs import AXES, HISTORY_INPUTS, PLAN_INPUTS
from neurotwin.models import LEVELS, Surrogate
from neurotwin.scaling import Scaling
from neurotwin.schema import Schema
from neurotwin.units import conversion

COMMON_UNITS = (
    "1 % kg g mg ug ng [lb_av] m cm mm [in_i] L dL mL uL m3 cm3 mm3 s min h d wk mo a "
    "mg/dL g/dL g/L mg/L ug/mL ug/L ng/mL ng/L ug/dL mmol/L umol/L nmol/L pmol/L mol/L mmol mol "
    "U/L kU/L U/mL [IU]/L [IU] 10*9/L 10*3/uL 10*12/L 10*6/uL /uL /L mm[Hg] kPa Pa cm[H2O] Cel [degF] K /min Hz "
    "mL/min L/min L/h mL/h mg/h g/h mg/min ug/min mg/d g/d mg/kg mg/m2 mg/m3 ug/m3 mg/m3/d Gy cGy ms uV mV"
).split()
"""Units that documents use; those that convert without a molar mass are accepted."""


def build_signature(
    model: Surrogate,
    schema: Schema,
    scaling: Scaling,
    *,
    outputs: list[str],
    support_threshold: float,
    counterfactual: str,
    min_visits: int,
) -> dict[str, Any]:
    """The content of signature.json."""
    low, high = dict(enumerate(scaling.static_low)), dict(enumerate(scaling.static_high))
    column, statics = 0, []
    for static in schema.statics:
        trained = None if static.levels else [low[column], high[column]]
        statics.append(
            {
                **_channel(static, "static"),
                "levels": list(static.levels),
                "trained": trained,
                "missing": "encoded with a mask",
            }
        )
        column += len(static.columns)
    return {
        "schema": schema.model_dump(mode="json"),
        "time_unit": schema.time_unit,
        "time_units": _accepted(schema.time_unit),
        "recursive": model.recursive,
        "max_step": model.solver.max_step,
        "draws": model.n_draws,
        "quantile_levels": list(LEVELS),
        "trained_horizon": scaling.longest,
        "min_visits": min_visits,
        "counterfactual": counterfactual,
        "state": {"size": model.state_size, "slices": {name: list(span) for name, span in model.layout.items()}},
        "support": {"score": "squared Mahalanobis distance per dimension", "threshold": support_threshold},
        "channels": {
            "observations": [
                {
                    **_channel(item, "observation"),
                    "trained": [scaling.observed_low[i], scaling.observed_high[i]],
                    "missing": "masked",
                }
                for i, item in enumerate(schema.variables)
            ],
            "treatments": [
                {
                    **_channel(item, "jump" if item.kind == "bolus" else "control"),
                    "kind": item.kind,
                    "trained": [0.0, scaling.treatment_high[i]],
                    "missing": "not given",
                }
                for i, item in enumerate(schema.treatments)
            ],
            "statics": statics,
        },
        "graphs": {
            "assimilate.onnx": {"inputs": _tensors(HISTORY_INPUTS), "outputs": _tensors(("new_state", "support"))},
            "forecast.onnx": {"inputs": _tensors(PLAN_INPUTS), "outputs": _tensors(tuple(outputs))},
        },
    }


def _channel(item: Any, role: str) -> dict[str, Any]:
    units = {} if getattr(item, "levels", ()) else _accepted(item.unit)
    return {
        "name": item.name,
        "role": role,
        "unit": item.unit,
        "code": item.code,
        "plausible": [_finite(x) for x in item.plausible],
        "units": units,
    }


def _accepted(unit: str) -> dict[str, dict[str, float]]:
    """Units that convert to ``unit``, each with factor and offset."""
    accepted = {unit: {"factor": 1.0, "offset": 0.0}}
    for other in COMMON_UNITS:
        # An arbitrary unit such as [IU] has no dimension: it converts to anything that counts, and means nothing there.
        if ("[IU]" in other) != ("[IU]" in unit):
            continue
        try:
            found = conversion(other, unit)
        except UnitError:
            continue
        accepted.setdefault(other, {"factor": _clean(found.factor), "offset": _clean(found.offset)})
    return accepted


def _clean(value: float) -> float:
    """12 digits: the unit library's own rounding noise ends there."""
    return float(f"{value:.12g}")


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None


def _tensors(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": "float32", "axes": list(AXES[name])} for name in names]
