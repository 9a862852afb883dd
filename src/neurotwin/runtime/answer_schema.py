"""JSON Schemas of what a twin answers: one plan, or several that are compared."""

from typing import Any

from neurotwin.runtime.reasons import Reason

STATUS = {"enum": ["ok", "degraded", "abstain"]}
NUMBER, TEXT, TRUTH = {"type": "number"}, {"type": "string"}, {"type": "boolean"}


def _or_null(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}]}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _object(fields: dict[str, dict[str, Any]], optional: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": sorted(fields),
        "additionalProperties": False,
    }


REASONS = _list({"enum": sorted(Reason)})
MODEL = _object(
    {"id": TEXT, "version": TEXT, "sha256": TEXT, "context_of_use": TEXT, "not_a_medical_device": {"const": True}}
)
INTERVAL = _object(
    {
        "level": NUMBER,
        "lo": NUMBER,
        "hi": NUMBER,
        "kind": TEXT,
        "calib_n": {"type": "integer"},
        "empirical_coverage": _or_null(NUMBER),
    }
)
ROW = _object(
    {"t": NUMBER, "after": NUMBER, "channel": TEXT, "unit": TEXT, "median": _or_null(NUMBER)},
    {"interval": _or_null(INTERVAL), "probability": _or_null(NUMBER)},
)
RISK = _object({"t": NUMBER, "after": NUMBER, "outcome": TEXT, "probability": NUMBER})
PLAN = _object(
    {
        "name": TEXT,
        "start": NUMBER,
        "time_unit": TEXT,
        "ongoing": {"enum": ["stop", "continue"]},
        "running": _list(TEXT),
    }
)
SUPPORT = _object(
    {
        "ood_score": _or_null(NUMBER),
        "ood_threshold": NUMBER,
        "n_obs": {"type": "integer"},
        "last_obs_age": _or_null(NUMBER),
    }
)
ANSWER = {
    **_object(
        {
            "status": STATUS,
            "reasons": REASONS,
            "details": _list(TEXT),
            "model": MODEL,
            "plan": PLAN,
            "prediction": _or_null(_list(ROW)),
            "support": SUPPORT,
            "checks": {"type": "object", "additionalProperties": TRUTH},
            "inputs_used": {"type": "integer"},
            "inputs_ignored": _list(_object({"at": TEXT, "why": TEXT})),
            "converted": _list(_object({"at": TEXT, "from": TEXT, "to": TEXT, "factor": NUMBER}, {"offset": NUMBER})),
            "provider": TEXT,
            "request_id": TEXT,
        },
        {"risks": _or_null(_list(RISK))},
    ),
    # Silence has a reason, and says nothing.
    "if": {"properties": {"status": {"const": "abstain"}}},
    "then": {"properties": {"prediction": {"type": "null"}, "reasons": {"minItems": 1}}},
    "else": {"properties": {"prediction": {"type": "array"}}},
}
DIFFERENCE = _object(
    {
        "a": TEXT,
        "b": TEXT,
        "t": NUMBER,
        "after": NUMBER,
        "channel": TEXT,
        "unit": TEXT,
        "median": NUMBER,
        "interval": _object(
            {"level": NUMBER, "lo": NUMBER, "hi": NUMBER, "kind": TEXT, "draws": {"type": "integer"}},
            {"calib_n": {"type": "integer"}, "empirical_coverage": _or_null(NUMBER)},
        ),
    }
)
COMPARISON = _object(
    {
        "plans": _list(ANSWER),
        "differences": _or_null(_list(DIFFERENCE)),
        "difference_reasons": REASONS,
        "difference_details": _list(TEXT),
        "counterfactual": {"enum": ["simulated-only", "observational"]},
    },
    {"request_id": TEXT},
)
