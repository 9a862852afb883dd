"""Units: UCUM codes convert by definition, through a molar mass when one is given, and never by guess."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurotwin.errors import UnitError
from neurotwin.units import conversion, parse

GLUCOSE, CREATININE = 180.156, 113.12  # g/mol


def convert(value, source, target, molar_mass=None):
    found = conversion(source, target, molar_mass)
    return value * found.factor + found.offset


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (37.0, "Cel", "[degF]", 98.6),
        (98.6, "[degF]", "Cel", 37.0),
        (0.0, "Cel", "K", 273.15),
        (-40.0, "Cel", "[degF]", -40.0),
        (300.0, "K", "Cel", 26.85),
        (1.0, "g/dL", "mg/dL", 1000.0),
        (1.0, "mg/dL", "g/L", 0.01),
        (1.0, "d", "h", 24.0),
        (1.0, "wk", "d", 7.0),
        (1.0, "a", "d", 365.25),
        (36.0, "h", "d", 1.5),
        (1.0, "[lb_av]", "kg", 0.45359237),
        (70.0, "[in_i]", "m", 1.778),
        (1.0, "cm3", "mL", 1.0),
        (1.0, "10*3/uL", "10*9/L", 1.0),
        (760.0, "mm[Hg]", "kPa", 101.325),
        (1.0, "Gy", "cGy", 100.0),
        (50.0, "%", "1", 0.5),
        (1.0, "mmol/L", "umol/L", 1000.0),
        (2.0, "L/h", "mL/min", 2000 / 60),
        (5.0, "mg/m3", "ug/L", 5.0),
    ],
)
def test_conversions_by_definition(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("value", "source", "target", "mass", "expected"),
    [
        (90.0, "mg/dL", "mmol/L", GLUCOSE, 4.9957),
        (5.5, "mmol/L", "mg/dL", GLUCOSE, 99.086),
        (1.0, "mg/dL", "umol/L", CREATININE, 88.40),
        (88.4, "umol/L", "mg/dL", CREATININE, 1.0),
    ],
)
def test_molar_conversions_with_the_analyte_s_mass(value, source, target, mass, expected):
    assert convert(value, source, target, mass) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("source", "target"), [("mg/dL", "mmol/L"), ("umol/L", "mg/dL"), ("mol", "g")])
def test_molar_conversions_without_it_are_refused_with_the_remedy(source, target):
    with pytest.raises(UnitError, match="give the analyte's molar mass"):
        conversion(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [("mg", "mL"), ("kg", "m"), ("d", "mg/dL"), ("Cel", "kPa"), ("mmol/L", "mmol"), ("1", "mg"), ("mg%", "mg/dL")],
)
def test_other_dimensions_are_refused(source, target):
    with pytest.raises(UnitError, match="cannot convert") as caught:
        conversion(source, target)
    assert "molar" not in str(caught.value)


def test_a_molar_mass_does_not_make_everything_convertible():
    with pytest.raises(UnitError, match="cannot convert"):
        conversion("mg", "mL", GLUCOSE)


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "  ",
        "furlong",
        "ML/min/x",
        "mg/",
        "mg//dL",
        "°C",
        "mg dL",
        "1e400",
        "__import__",
        "(mg",
        "µg/L",
        "bananas/d",
    ],
)
def test_what_is_no_ucum_code_is_refused_in_one_line(unit):
    with pytest.raises(UnitError) as caught:
        parse(unit)
    assert "\n" not in str(caught.value)


def test_case_matters():
    assert conversion("mL", "L").factor == pytest.approx(1e-3)
    with pytest.raises(UnitError):
        conversion("ML", "l_")


@given(
    st.floats(-1e6, 1e6),
    st.sampled_from([("Cel", "[degF]"), ("mg/dL", "g/L"), ("d", "h"), ("kg", "[lb_av]"), ("mm[Hg]", "kPa")]),
)
def test_there_and_back(value, units):
    there, back = convert(value, *units), units[::-1]
    assert convert(there, *back) == pytest.approx(value, rel=1e-9, abs=1e-6)
