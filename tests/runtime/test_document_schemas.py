"""JSON Schemas of the documents: valid ones, which take what the guide shows and what the parser takes."""

import ast
import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurotwin.errors import DocumentError
from neurotwin.fake import fake_patient, fake_plan, fake_predictor
from neurotwin.runtime import Twin, parse_document, schemas
from neurotwin.runtime.document_schemas import DOCUMENTS

GUIDE = (Path(__file__).parents[2] / "docs" / "predict.md").read_text()
CHECK = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas().items()}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_each_is_a_schema(name):
    jsonschema.Draft202012Validator.check_schema(schemas()[name])
    assert schemas()[name]["description"] and schemas()[name]["additionalProperties"] is False


def shown():
    """The documents that the guide shows, by the name that they are given there."""
    names = {"wait": "plan", "front": "plan"}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = names.get(node.targets[0].id, node.targets[0].id)
                if name in DOCUMENTS and isinstance(node.value, ast.Dict):
                    yield name, ast.literal_eval(node.value)
            if isinstance(node, ast.Call):
                for keyword in node.keywords:
                    if keyword.arg in DOCUMENTS and isinstance(keyword.value, ast.Dict):
                        yield str(keyword.arg), ast.literal_eval(keyword.value)
                method = getattr(node.func, "attr", "")
                last = {"risk": "horizon", "explain": "target", "alerts": "alert_policy"}.get(method)
                if last and len(node.args) and isinstance(node.args[-1 if method != "risk" else 1], ast.Dict):
                    yield last, ast.literal_eval(node.args[-1 if method != "risk" else 1])


def test_what_the_guide_shows_is_valid():
    found = list(shown())
    assert {name for name, _ in found} == set(DOCUMENTS)
    for name, content in found:
        CHECK[name].validate(content)
        parse_document(DOCUMENTS[name], content, name)


LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3) | st.text(max_size=3) | st.just("d")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_parsed_is_valid(data):
    """The other way round a schema may take more: what two fields say together is not in it."""
    name, content = data.draw(st.sampled_from(list(shown())))
    field = data.draw(st.sampled_from([*content, "x"]))
    content[field] = data.draw(LEAVES | st.lists(LEAVES, max_size=2) | st.just(content.get(field)))
    try:
        parse_document(DOCUMENTS[name], content, name)
    except DocumentError:
        return
    CHECK[name].validate(content)


def test_the_schemas_of_the_docs_are_these():
    folder = Path(__file__).parents[2] / "docs" / "schemas"
    told = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    assert told == schemas(), "python scripts/write_schemas.py"


@pytest.fixture(scope="module")
def twin():
    return Twin.of(fake_predictor(), fake_patient())


def test_answers_are_of_their_schema(twin):
    silent = Twin.of(
        twin.predictor, {**fake_patient(), "static": {"age": {"value": 50, "unit": "furlong"}, "sex": "f"}}
    )
    warned = Twin.of(twin.predictor, {**fake_patient(), "static": {"age": {"value": 50, "unit": "a"}}})
    answers = [one.forecast(fake_plan()) for one in (twin, silent, warned)]
    assert answers[0]["status"] == "ok" and answers[1]["status"] == "abstain"
    for answer in answers:
        CHECK["answer"].validate(answer)
    CHECK["comparison"].validate(twin.compare([fake_plan("a", 1.0), fake_plan("b", 9.0)]))


@pytest.mark.parametrize(
    "change", [{"status": "fine"}, {"prediction": None}, {"reasons": ["because"]}, {"extra": 1}, {"status": "abstain"}]
)
def test_what_is_no_answer_is_not_of_the_schema(twin, change):
    assert not CHECK["answer"].is_valid({**twin.forecast(fake_plan()), **change})
