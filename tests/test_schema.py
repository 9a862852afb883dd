"""Schema: what it accepts, what it refuses, and its way through JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurotwin.errors import SchemaError
from neurotwin.schema import Schema, Static, Treatment, Variable

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
UNITS = st.sampled_from(["mg", "mg/dL", "1", "d", "cm3", "Cel"])
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
TIMES = {"name": "toy", "time_unit": "d"}


@st.composite
def ranges(draw, least=-1e6):
    low = draw(st.none() | st.floats(least, 1e6))
    high = draw(st.none() | st.floats(1, 1e6).map(lambda size: (low or 0.0) + size))
    return (-math.inf if low is None else low, math.inf if high is None else high)


@st.composite
def schemas(draw):
    names = iter(draw(st.lists(NAMES, min_size=9, max_size=9, unique=True)))
    variables = []
    for _ in range(draw(st.integers(1, 3))):
        more = {"name": next(names), "unit": draw(UNITS), "code": draw(WORDS), "source": draw(WORDS)}
        if draw(st.booleans()):
            high = draw(st.floats(1, 1e6))
            more |= {"transform": "log", "offset": draw(st.floats(0, 10)), "plausible": (0.0, high)}
        else:
            more["plausible"] = draw(ranges())
        variables.append(Variable(**more))
    treatments = [
        Treatment(
            name=next(names),
            unit=draw(UNITS),
            kind=draw(st.sampled_from(["bolus", "infusion", "setting"])),
            plausible=draw(ranges(0.0)),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    levels = st.just(()) | st.lists(WORDS.filter(bool), min_size=2, max_size=4, unique=True).map(tuple)
    statics = [Static(name=next(names), unit=draw(UNITS), levels=draw(levels)) for _ in range(draw(st.integers(0, 3)))]
    return Schema(**TIMES, variables=tuple(variables), treatments=tuple(treatments), statics=tuple(statics))


@given(schemas())
def test_through_json_and_back(schema):
    text = json.dumps(schema.model_dump(mode="json"), allow_nan=False)
    assert Schema.parse(json.loads(text)) == schema
    assert Schema.parse(json.loads(schema.model_dump_json())) == schema


@given(schemas(), st.integers(0, 5), st.data())
def test_statics_are_encoded_with_their_masks(schema, n, data):
    raw = np.array(
        [
            [
                data.draw(st.none() | (st.integers(0, len(static.levels) - 1) if static.levels else st.floats(-9, 9)))
                for static in schema.statics
            ]
            for _ in range(n)
        ],
        dtype=float,
    ).reshape(n, len(schema.statics))
    values, mask = schema.encode_statics(raw)
    assert values.shape == mask.shape == (n, len(schema.static_columns)) and not values[mask == 0].any()
    column = 0
    for index, static in enumerate(schema.statics):
        block, seen = (array[:, column : column + len(static.columns)] for array in (values, mask))
        assert (seen == np.isfinite(raw[:, index])[:, None]).all()
        known = np.isfinite(raw[:, index])
        if static.levels:
            assert (block[known].argmax(1) == raw[known, index]).all() and (block[known].sum(1) == 1).all()
        else:
            assert (block[known, 0] == raw[known, index]).all()
        column += len(static.columns)


X = {"name": "x", "unit": "mm"}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({**TIMES, "variables": []}, "variables"),
        ({**TIMES}, "variables"),
        ({**TIMES, "variables": [X, X]}, "names must differ"),
        ({**TIMES, "variables": [X], "treatments": [{**X, "kind": "bolus"}]}, "names must differ"),
        ({**TIMES, "variables": [{**X, "name": "X"}]}, "variables.0.name"),
        ({**TIMES, "variables": [{**X, "name": "x y"}]}, "variables.0.name"),
        ({**TIMES, "variables": [{**X, "name": "x" * 65}]}, "variables.0.name"),
        ({**TIMES, "variables": [{**X, "unit": ""}]}, "variables.0.unit"),
        ({**TIMES, "variables": [{**X, "plausible": [3, 3]}]}, "must rise"),
        ({**TIMES, "variables": [{**X, "plausible": [3, 1]}]}, "must rise"),
        ({**TIMES, "variables": [{**X, "plausible": [float("nan"), 1]}]}, "variables.0"),
        ({**TIMES, "variables": [{**X, "plausible": [1]}]}, "plausible"),
        ({**TIMES, "variables": [{**X, "transform": "log"}]}, "plausible must start"),
        ({**TIMES, "variables": [{**X, "transform": "sqrt"}]}, "transform"),
        ({**TIMES, "variables": [{**X, "colour": "red"}]}, "colour"),
        ({**TIMES, "variables": [X], "treatments": [{"name": "a", "unit": "mg", "kind": "pill"}]}, "treatments.0.kind"),
        ({**TIMES, "variables": [X], "statics": [{"name": "s", "levels": ["a"]}]}, "at least two"),
        ({**TIMES, "variables": [X], "statics": [{"name": "s", "levels": ["a", "a"]}]}, "distinct"),
        ({"name": "toy", "variables": [X]}, "time_unit"),
        ([], "schema"),
        (None, "schema"),
        ("x", "schema"),
    ],
)
def test_contradictions_are_refused_with_their_place(content, place):
    with pytest.raises(SchemaError) as caught:
        Schema.parse(content)
    assert place in str(caught.value) and "\n" not in str(caught.value)


def test_the_modelling_scale_and_back():
    value = np.array([0.0, 1.0, 50.0])
    log, plain = Variable(**X, transform="log", offset=1.0, plausible=(0, 99)), Variable(**X)
    np.testing.assert_allclose(log.forward(value), np.log(value + 1))
    np.testing.assert_allclose(log.inverse(log.forward(value)), value, atol=1e-12)
    assert plain.forward(value) is value and plain.inverse(value) is value


def test_a_schema_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Variable(**X).unit = "cm"
