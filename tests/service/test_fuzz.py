"""Random bodies: no fault of the service, no echo, and the next good answer is the same."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from service_cases import body
from test_bad_bodies import changed, places

QUIET = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
    "database": None,
}
VERBS = ("predict", "compare", "risk", "explain", "optimise")
BODIES = {verb: body(f"{verb.capitalize()}Question") for verb in VERBS}
BODIES["optimise"]["budget"] = {"evaluations": 5, "seconds": 1, "points": 2}
PLACES = {verb: list(places(content)) for verb, content in BODIES.items()}
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["d", "h", "cm3", "Gy", "mg/m3", "tumour_volume", "radiotherapy", "chemotherapy", "stage", "end"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def mutated(draw):
    """A good body with a few values replaced by any others."""
    verb = draw(st.sampled_from(VERBS))
    content = BODIES[verb]
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(PLACES[verb]))
        try:
            content = changed(content, path, draw(VALUES))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return verb, content


def check_body(client, verb, content):
    response = client.post(f"/v1/twins/lung_tumour/{verb}", content=content)
    assert response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/json"
    json.loads(response.text, parse_constant=pytest.fail)


def fuzz(client, examples):
    told = {"x-request-id": "00000000-0000-4000-8000-000000000000"}
    ask = lambda: client.post("/v1/twins/lung_tumour/predict", json=BODIES["predict"], headers=told).content  # noqa: E731
    before = ask()

    @settings(max_examples=examples, **QUIET)
    @given(mutated())
    def change(case):
        verb, content = case
        check_body(client, verb, json.dumps(content).encode())

    @settings(max_examples=examples // 4, **QUIET)
    @given(st.sampled_from(VERBS), st.data())
    def cut(verb, data):
        text = json.dumps(BODIES[verb]).encode()
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        check_body(client, verb, text[:begin] + data.draw(st.binary(max_size=8)) + text[end:])

    change()
    cut()
    assert ask() == before


def test_mutated_bodies(client):
    fuzz(client, 200)


@pytest.mark.full
def test_mutated_bodies_at_length(client):
    fuzz(client, 16_000)


def send(client, case):
    """A case of schemathesis, by our own client."""
    told = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
    more = {key: told[key] for key in ("method", "url", "params", "headers", "cookies", "json") if told.get(key)}
    content = told.get("data")
    return client.request(**more, content=content if isinstance(content, bytes | str) else None)


@pytest.mark.parametrize("examples", [2, pytest.param(200, marks=pytest.mark.full)])
def test_requests_made_from_the_description(stored, examples):
    described = schemathesis.openapi.from_dict(stored.get("/openapi.json").json())
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        if operation.path.endswith("/live"):
            continue  # a stream has no end

        @settings(max_examples=examples, **QUIET)
        @given(operation.as_strategy())
        def ask(case):
            response = send(stored, case)
            assert response.status_code < 500, (case.method, case.path, response.text)

        ask()
