"""Login, population and teaching in a real browser."""

import re

import httpx
import pytest
from page_cases import PATIENT
from service_cases import Serving

pytestmark = pytest.mark.service
TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def guarded(tmp_path):
    """A service that asks for a token, on loopback too."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    one = Serving(tmp_path, "--store", str(tmp_path / "twins.db"), "--token-file", str(file))
    yield one
    one.stop()


@pytest.fixture
def crowd(tmp_path):
    """A service with four patients whom nobody asked about."""
    one = Serving(tmp_path, "--store", str(tmp_path / "twins.db"))
    with httpx.Client(base_url=one.url) as client:
        for number in range(4):
            rows = [{**row, "value": row["value"] * (1 + number)} for row in PATIENT["observations"]]
            document = PATIENT | {"id": f"{'ab'[number % 2]}-{number}", "observations": rows}
            assert client.post(f"/v1/twins/{document['id']}/observe", json=document).status_code == 200
    yield one
    one.stop()


def test_login_and_logout(tab, guarded):
    window = tab(guarded.url)
    page = window.open("/")
    assert page.url.endswith("/login")
    page.get_by_label("Token").fill("something-else-entirely")
    page.keyboard.press("Enter")
    assert "This is not the token." in page.get_by_role("alert").inner_text()
    assert all("401" in fault for fault in window.faults)
    window.faults.clear()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(guarded.url + "/")
    assert all(TOKEN not in url for _, url in window.asked)
    cookies = page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]
    assert TOKEN not in str(cookies) and page.evaluate("document.cookie") == ""
    page.get_by_role("link", name="Population").click()
    page.get_by_text("No patient is like this.").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert page.context.cookies() == []
    page.goto(guarded.url + "/population")
    assert page.url.endswith("/login")


def test_a_page_whose_login_ended_leads_to_the_form(tab, guarded):
    window = tab(guarded.url)
    page = window.open("/login")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url(guarded.url + "/")
    page.context.clear_cookies()
    page.get_by_role("button", name="Add a measurement").click()
    page.get_by_label("measurement 1: Time (d)").fill("0")
    page.get_by_label("measurement 1: Value").fill("3")
    page.wait_for_url("**/login")
    assert all("401" in fault for fault in window.faults)
    window.faults.clear()


def test_the_population_is_renewed_filtered_and_leads_to_its_patients(tab, crowd):
    page = tab(crowd.url).open("/population")
    assert page.locator("tr[data-state=never]").count() == 4
    page.get_by_role("spinbutton", name="Threshold").fill("150")
    page.get_by_role("button", name="Those that are not current").click()
    page.locator("tr[data-state=current]").nth(3).wait_for()
    risks = [row.split("\t")[1] for row in page.locator("tbody tr").all_inner_texts()]
    assert len(risks) == 4 and all("%" in risk for risk in risks)
    assert page.locator("tbody th").first.inner_text() == "b-3"  # the largest tumour
    assert page.get_by_role("spinbutton", name="Threshold").input_value() == "150"
    page.get_by_label("Pseudonym begins with").fill("a-")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**prefix=a-**")
    assert page.locator("tbody th").all_inner_texts() == ["a-2", "a-0"]
    page.get_by_role("button", name="Those that are not current").click()
    page.get_by_text("All forecasts of this page are current.").wait_for()
    page.get_by_role("link", name="a-2").click()
    page.wait_for_url("**/twins/a-2")
    page.wait_for_selector("#curves path.line")


def test_a_lesson_ends_with_the_truth(tab):
    page = tab().open("/teach")
    page.wait_for_selector("#curves path.line")
    assert page.locator("#curves circle.seen").count() == 3
    before = page.locator("#curves path.line").first.get_attribute("d")
    page.get_by_label(re.compile("^radiotherapy")).fill("2")
    changed = "old => document.querySelector('#curves path.line')?.getAttribute('d') !== old"
    page.wait_for_function(changed, arg=before)
    for number in range(3):
        page.get_by_role("button", name="Give and go on").click()
        page.wait_for_function(f"() => document.querySelectorAll('#curves circle.seen').length === {4 + number}")
    assert page.locator("path.truth").count() == 0 and page.locator("#past tbody tr").count() == 3
    page.get_by_role("button", name="Finish and show the truth").click()
    page.locator("path.truth").first.wait_for()
    assert page.locator("path.truth").count() == 2
    assert "of 3 new measurements were inside" in page.inner_text("#said")
    first = page.locator("#past tbody tr").first.inner_text().split("\t")
    assert "1 × radiotherapy 2 Gy" in first and len(first) == 7
    measured, truth = float(first[4].split()[0]), float(first[6])
    assert abs(measured / truth - 1) < 0.25  # five times the assay's error
    page.get_by_label("Patient number").fill("5")
    page.get_by_role("button", name="Begin anew").click()
    page.wait_for_function("() => document.querySelectorAll('#curves circle.seen').length === 3")
    assert page.locator("path.truth").count() == 0


def test_a_lesson_that_goes_to_its_end_is_over(tab):
    page = tab().open("/teach")
    page.wait_for_selector("#curves path.line")
    for _ in range(3):
        before = page.locator("#curves circle.seen").count()
        page.get_by_label(re.compile("^Next visit after")).fill("18")
        page.get_by_role("button", name="Give and go on").click()
        page.wait_for_function(f"() => document.querySelectorAll('#curves circle.seen').length > {before}")
    page.locator("path.truth").first.wait_for()
    assert "The lesson is over." in page.inner_text("#clock")
