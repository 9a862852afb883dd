"""A real browser on a real service."""

import importlib.util
import json
from pathlib import Path

import httpx
import pytest
from page_cases import FORECAST, PATIENT
from service_cases import Serving

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def clinic(tmp_path_factory):
    """A service with lessons and patients: one expected, one with a value that was not, two that silence."""
    folder = tmp_path_factory.mktemp("clinic")
    one = Serving(folder, "--store", str(folder / "twins.db"), "--teach")
    with httpx.Client(base_url=one.url) as client:
        for name, last in (("p-17", 29.5), ("p-18", 70.0), ("p-19", -4.0)):
            document = json.loads(json.dumps(PATIENT)) | {"id": name}
            times = (0, 4, 8, 12, 16, 20)
            document["observations"] = [
                {"t": t, "variable": "tumour_volume", "value": last if t == 20 else 31.0 - t / 10, "unit": "cm3"}
                for t in times
            ]
            assert client.post(f"/v1/twins/{name}/observe", json=document).status_code == 200
        assert client.post("/v1/twins/p-17/forecast", json=FORECAST).status_code == 200
        wrong = {"t": 30, "variable": "tumour_volume", "value": -4.0, "unit": "cm3"}
        for rows in (PATIENT["observations"], [wrong]):
            document = PATIENT | {"id": "p-20", "observations": rows, "treatments": []}
            assert client.post("/v1/twins/p-20/observe", json=document).status_code == 200
    yield one
    one.stop()


class Tab:
    """A browser's page that remembers what went wrong, and what was asked of whom."""

    def __init__(self, page, base):
        self.page, self.base, self.faults, self.asked = page, base, [], []
        page.on("console", lambda told: self.faults.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append((request.method, request.url)))
        page.set_default_timeout(10_000)

    def open(self, path):
        """Go to a path of the service."""
        self.page.goto(self.base + path)
        return self.page

    def check(self):
        """Nothing was said on the console, and nobody else was asked."""
        assert self.faults == []
        own = (self.base, "data:")
        assert [url for _, url in self.asked if not url.startswith(own)] == []


@pytest.fixture
def tab(chromium, clinic):
    """Function: a new window on the clinic, or on another service, that is checked at the end."""
    opened = []

    def make(base=None, **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        opened.append((context, Tab(context.new_page(), base or clinic.url)))
        return opened[-1][1]

    yield make
    for context, one in opened:
        context.close()
        one.check()
