"""A patient and a plan of the toy bundle, and predictors that tests share."""

import copy
import json

import pytest

from neurotwin.runtime import Predictor

PATIENT = {
    "id": "p-1",
    "time_unit": "d",
    "static": {"age": {"value": 50, "unit": "a"}, "sex": "f"},
    "observations": [
        {"t": 0, "variable": "volume", "value": 20.0, "unit": "cm3"},
        {"t": 0, "variable": "temperature", "value": 37.0, "unit": "Cel"},
        {"t": 20, "variable": "volume", "value": 24.0, "unit": "cm3"},
        {"t": 20, "variable": "volume", "value": 23.0, "unit": "cm3", "post_dose": True},
        {"t": 41.5, "variable": "temperature", "value": 37.4, "unit": "Cel"},
    ],
    "treatments": [
        {"t": 10, "treatment": "chemo", "amount": 5, "unit": "mg"},
        {"t": 20, "treatment": "chemo", "amount": 5, "unit": "mg"},
        {"t": 15, "t_end": 35, "treatment": "drip", "rate": 4, "unit": "mg/h"},
        {"t": 25, "treatment": "pump", "level": 0.5, "unit": "1"},
    ],
}
PLAN = {
    "name": "as it is",
    "time_unit": "d",
    "query": {"every": 1, "until": 90},
    "treatments": [{"t": 7, "treatment": "chemo", "amount": 5, "unit": "mg"}],
}


@pytest.fixture
def patient():
    """A fresh copy that a test may change."""
    return copy.deepcopy(PATIENT)


@pytest.fixture(scope="session")
def patient_text():
    """The patient as JSON."""
    return json.dumps(PATIENT)


@pytest.fixture
def plan():
    """A fresh copy that a test may change."""
    return copy.deepcopy(PLAN)


@pytest.fixture(scope="session")
def predictor(node_bundle):
    """The neural ODE."""
    return Predictor.load(node_bundle)


@pytest.fixture(scope="session")
def gru(gru_bundle):
    """The recurrent network, K = 1."""
    return Predictor.load(gru_bundle)
