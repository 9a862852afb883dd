"""A client of an application that knows codes."""

import json

import pytest
from fhir_records import CODES, WATCH
from service_cases import application


@pytest.fixture(scope="session")
def coded(tmp_path_factory):
    """The tumour bundle with codes for its channels, and two risks that are watched."""
    folder = tmp_path_factory.mktemp("coded")
    content = json.loads(json.dumps(CODES))
    content["models"]["lung_tumour"]["watch"] = WATCH
    (folder / "codes.json").write_text(json.dumps(content))
    with application(folder, fhir_map=str(folder / "codes.json")) as opened:
        yield opened
