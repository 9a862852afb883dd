"""The page of the service: its commands and its client run as they stand, and its tables tell all that there is."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from service_cases import Serving

from neurotwin.service import Limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text()
README = re.search(r"^## Serve\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)[1]
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
LIVE = "/v1/twins/p-17/alerts/live"
BYTES = {"KiB": 2**10, "MiB": 2**20}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A folder with the page's files, and a server with a store."""
    here = tmp_path_factory.mktemp("serve_page")
    for name, content in re.findall(r"`(\w+\.json)`:\n\n```json\n(.*?)^```", PAGE, re.M | re.S):
        (here / name).write_text(content)
    one = Serving(here, "--store", str(here / "twins.db"))
    yield here, one.url
    one.stop()


def run(command, folder, url):
    """What a command of curl prints."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    line = command.replace("http://127.0.0.1:8000", url) + " --max-time 2" * (LIVE in command)
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == (28 if LIVE in command else 0), command
    return done.stdout


def test_the_commands_of_the_page(server):
    found = {re.search(r":8000([^' ]*)", command)[1]: run(command, *server) for command in COMMANDS}
    assert list(found)[-1] == LIVE and found[LIVE].startswith('event: alerts\nid: 1\ndata: {"version": 1')
    predict, observe, forecast, compare = (json.loads(text) for text in list(found.values())[:-1])
    assert predict["status"] == forecast["status"] == "ok" and predict["converted"] and observe["version"] == 1
    assert [plan["status"] for plan in compare["plans"]] == ["ok", "ok"] and compare["differences"]


def test_the_command_of_the_readme(server):
    (command,) = re.findall(r"^    (curl .*)$", README, re.M)
    assert json.loads(run(command, ROOT, server[1]))["refused"] == {}


def test_the_client_of_the_page(server, capsys):
    (code,) = [one for one in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "neurotwin.client" in one]
    exec(code.replace("http://127.0.0.1:8000", server[1]), {})
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("ok [") and told[1] == "404 NT-2960"


def test_every_route_has_its_row(client):
    paths = client.get("/openapi.json").json()["paths"]
    native = {(verb.upper(), path) for path, told in paths.items() if path.startswith("/v1") for verb in told}
    assert set(re.findall(r"^\| `([A-Z]+) (/v1\S*)`", PAGE, re.M)) == native


def test_every_limit_has_its_row():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) ?(\w*) \|", PAGE, re.M)
    assert {name: float(number) * BYTES.get(unit, 1) for name, number, unit in rows} == asdict(Limits())


def test_every_code_has_its_row():
    sources = [*(ROOT / "src/neurotwin/service").rglob("*.py"), ROOT / "src/neurotwin/client.py"]
    used = {code for path in sources for code in re.findall(r"NT-5\d{3}", path.read_text())}
    page = (ROOT / "docs" / "errors.md").read_text()
    assert set(re.findall(r"NT-5\d{3}", page)) == used | {"NT-5404", "NT-5405"}  # made of the framework's statuses
