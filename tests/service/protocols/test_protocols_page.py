"""The page of protocols: its commands run as they stand, against a real server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from service_cases import Serving

PAGE = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the page's files, and the server that the page asks for."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    here = tmp_path_factory.mktemp("page")
    for name, content in re.findall(r"`(\w+\.json)`[^`]*?\n```json\n(.*?)^```", PAGE, re.M | re.S):
        (here / name).write_text(content)
    server = Serving(here, "--fhir-map", str(here / "codes.json"))
    yield here, server.url
    server.stop()


def test_the_page_has_commands_for_each_protocol():
    assert len(COMMANDS) == 7 and all(line.startswith("curl -sf ") for line in COMMANDS)


@pytest.fixture(scope="module")
def answers(folder):
    """What the page's commands print, by the end of their address."""
    here, url = folder
    found = {}
    for command in COMMANDS:
        line = command.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(["sh", "-c", line], cwd=here, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, command
        found[re.search(r":8000([^' ]*)", command)[1]] = json.loads(done.stdout)
    return found


def test_v2(answers):
    outputs = {one["name"]: one for one in answers["/v2/models/lung_tumour/infer"]["outputs"]}
    assert outputs["status"]["data"] == ["ok"] and outputs["time"]["data"] == [30, 40, 50]


def test_fhir(answers):
    entries = answers["/fhir/lung_tumour/$forecast"]["entry"]
    kinds = [one["resource"]["resourceType"] for one in entries]
    assert kinds == ["Device", *["Observation"] * 3, "RiskAssessment", "OperationOutcome"]


def test_cds_hooks(answers):
    (card,) = answers["/cds-services/lung_tumour-patient-view"]["cards"]
    assert "further ahead than the model was trained" in card["detail"]
    assert len(answers["/cds-services"]["services"]) == 2


def test_the_client_of_the_page(folder):
    pytest.importorskip("tritonclient.http")
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    names = {}
    exec(code, names)
    here, url = folder
    sent = json.loads((here / "infer.json").read_text())
    patient, plan = (json.loads(one["data"][0]) for one in sent["inputs"])
    median = names["forecast"](url.removeprefix("http://"), patient, [plan, plan | {"name": "again"}])
    assert median.shape == (2, 3, 1) and (median > 0).all()
