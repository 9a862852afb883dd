"""The patient's page in a real browser: typed in, dragged, moved by keys, silent, searched, printed."""

import re
import statistics
from pathlib import Path

import pytest
from browser_cases import LINE, course, paste, settled, type_in
from page_cases import PATIENT

pytestmark = pytest.mark.service
CHANGE = (Path(__file__).parent / "change.js").read_text()
GOAL = 150
"""Milliseconds from a change to the new curve, on loopback."""


def test_type_a_patient_change_a_dose_see_the_curve_change(tab):
    page = tab().open("/")
    assert "This model speaks from 3 visits on." in page.inner_text("#said")
    type_in(page)
    settled(page)
    before, said = course(page), page.inner_text("#headline")
    page.get_by_label("A: one dose, dose 1: Amount").fill("1")
    page.wait_for_function(
        "([line, old]) => document.querySelector(line)?.getAttribute('d') !== old", arg=[LINE, before]
    )
    settled(page)
    assert page.inner_text("#headline") != said and "B: no treatment minus A: one dose" in said
    assert page.locator("#differences path.line").count() == 1
    page.wait_for_timeout(900)
    assert "cm3" in page.text_content("#news")  # told to those who do not see it
    assert page.get_by_role("table", name=re.compile("Forecast of tumour volume")).count() == 0
    page.get_by_text("All of this as tables").click()
    assert page.get_by_role("table", name=re.compile("Forecast of tumour volume")).count() == 1


def test_each_change_is_one_question_and_is_drawn_in_time(tab, record_property):
    window = tab()
    page = window.open("/")
    paste(page)
    page.wait_for_selector(LINE)
    settled(page)
    window.asked.clear()
    times = [page.evaluate(CHANGE, [LINE, "A: one dose, dose 1: Amount", 0.5 + number / 10]) for number in range(25)]
    settled(page)
    asked = [url for method, url in window.asked if method == "POST"]
    assert len(asked) == 25 and all(url.endswith("/v1/twins/lung_tumour/compare") for url in asked)
    told = {"median_ms": statistics.median(times), "largest_ms": max(times)}
    record_property("latency", told)
    print(told)
    assert told["median_ms"] <= GOAL, told


def test_the_mouse_drags_a_dose(tab):
    window = tab()
    page = window.open("/")
    paste(page)
    page.wait_for_selector(LINE)
    settled(page)
    before = course(page)
    box = page.locator('.dose[data-key="0-0"] .head').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x + 12 * step, y)
    page.mouse.up()
    settled(page)
    moved = float(page.get_by_label("A: one dose, dose 1: Time (d)").input_value())
    assert 4 < moved < 14 and course(page) != before
    page.mouse.move(x - 300, y)  # let go is let go
    settled(page)
    assert float(page.get_by_label("A: one dose, dose 1: Time (d)").input_value()) == moved


def test_the_keyboard_moves_changes_and_removes_a_dose(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    dose = page.locator('.dose[data-key="0-0"]')
    dose.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert float(dose.get_attribute("aria-valuenow")) == pytest.approx(1 + 6 * 0.5)
    assert page.evaluate("document.activeElement.dataset.key") == "0-0"  # the focus stays
    page.keyboard.press("-")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("+")
    assert "4.5 mg/m3" in dose.get_attribute("aria-valuetext")
    assert float(page.get_by_label("A: one dose, dose 1: Amount").input_value()) == 4.5
    page.keyboard.press("Home")
    assert dose.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("Delete")
    assert page.locator(".dose").count() == 0
    settled(page)
    assert page.locator("#differences path.line").count() == 1


def test_three_plans_side_by_side(tab):
    page = tab().open("/")
    paste(page)
    page.get_by_role("button", name="Add a plan").click()
    plan = page.get_by_label("Plan 3", exact=True)
    plan.get_by_role("button", name="Add a dose").click()
    page.get_by_label("Name of plan 3").fill("C: <b>early</b>")
    page.wait_for_selector('#curves path.line[data-course="C: <b>early</b>"]')
    assert page.locator("#curves path.line").count() == 3 and page.locator("#differences path.line").count() == 2
    assert page.locator("#legend b").count() == 0
    page.get_by_role("button", name="Remove plan B: no treatment").click()
    settled(page)
    assert page.locator("#curves path.line").count() == 2


def test_silence_has_its_reasons_in_words(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    page.get_by_label("measurement 2: Value").fill("-4")
    page.wait_for_selector('[data-status="abstain"]')
    said = page.inner_text("#said")
    assert "The model stays silent" in said and "outside what is possible for a person" in said
    assert "measurement 2" in said and "Check the value and its unit." in said
    assert page.get_by_label("measurement 2: Value").get_attribute("aria-invalid") == "true"
    assert page.locator("#curves path.line").count() == 0
    assert page.locator("#curves circle.seen").count() == 3  # what was measured is still shown
    page.get_by_label("measurement 2: Value").fill("33")
    page.wait_for_selector(LINE)
    assert page.locator("#said [data-status]").count() == 0
    page.get_by_label("A: one dose, dose 1: Amount").fill("15")
    page.wait_for_selector('[data-reason="extrapolation"]')
    assert ": A: one dose" in page.inner_text("#said") and page.locator("#curves path.line").count() == 1


def test_the_risk_of_a_threshold(tab):
    page = tab().open("/")
    paste(page)
    page.get_by_role("spinbutton", name="Threshold").fill("40")
    page.wait_for_selector("#risk table")
    cells = page.locator("#risk tbody tr").all_inner_texts()
    assert len(cells) == 2 and all("%" in line for line in cells)
    assert page.locator("#curves line.mark").count() == 1


def test_a_point_of_the_front_becomes_a_plan(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    page.get_by_role("button", name="Search").click()
    page.wait_for_selector(".pick", timeout=30_000)
    points = page.locator(".pick")
    assert points.count() >= 3 and page.locator("#front tbody tr").count() == points.count()
    points.nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector('#curves path.line[data-course="Front 2"]')
    page.get_by_role("button", name="Take plan 3", exact=True).click()
    page.wait_for_selector('#curves path.line[data-course="Front 3"]')


def test_what_is_no_document_is_told(tab):
    page = tab().open("/")
    page.get_by_text("Paste or copy JSON").click()
    for words, told in (
        ("{", "This is not JSON."),
        ("[1]", "not a patient document"),
        ('{"time_unit": "x"}', "time unit"),
    ):
        page.get_by_label("Patient document").fill(words)
        page.get_by_role("button", name="Use this").click()
        assert told in page.inner_text("#form-fault")


def test_a_patient_of_the_store_with_alerts_that_renew_themselves(tab, clinic):
    page = tab().open("/twins/p-18")
    page.wait_for_selector(LINE)
    assert page.locator("#curves circle.seen").count() == 6
    page.wait_for_selector("#alerts table")
    assert "outside its forecast interval" in page.inner_text("#alerts")
    page.get_by_text("Add to the record").first.click()
    page.get_by_role("button", name="Add a measurement").click()
    page.get_by_label("measurement 1: Time (d)").fill("24")
    page.get_by_label("measurement 1: Value").fill("31")
    page.get_by_role("button", name="Add to the record").click()
    page.wait_for_function("() => document.querySelectorAll('#curves circle.seen').length === 7")


def test_a_patient_of_the_store_is_chosen(tab):
    window = tab()
    page = window.open("/")
    page.get_by_label("Patient of the store").fill("p-17")
    page.locator("#known option[value=p-18]").wait_for(state="attached")
    page.get_by_role("button", name="Open").click()
    page.wait_for_url("**/twins/p-17?model=lung_tumour")
    page.wait_for_selector(LINE)
    page.goto(page.url.replace("p-17", "nobody"))
    page.get_by_text("no such patient").first.wait_for()
    page.wait_for_function("() => document.querySelectorAll('.verdict').length === 2")
    assert window.faults and all("404" in fault for fault in window.faults)
    window.faults.clear()


def test_a_record_that_another_changes_is_shown_anew(tab, clinic):
    import httpx

    page = tab().open("/twins/p-17")
    page.wait_for_selector(LINE)
    more = {
        "id": "p-17",
        "time_unit": "d",
        "observations": [{"t": 23, "variable": "tumour_volume", "value": 29, "unit": "cm3"}],
    }
    assert httpx.post(f"{clinic.url}/v1/twins/p-17/observe", json=more).status_code == 200
    page.wait_for_function("() => document.querySelectorAll('#curves circle.seen').length === 7")


def test_a_typed_patient_is_kept(tab):
    page = tab().open("/")
    paste(page, PATIENT | {"id": "typed-1"})
    page.wait_for_selector(LINE)
    page.get_by_role("button", name="Keep in the store").click()
    page.wait_for_url("**/twins/typed-1?model=lung_tumour")
    page.wait_for_selector(LINE)


def test_an_entry_made_in_error_is_taken_back(tab):
    page = tab().open("/twins/p-20")
    page.wait_for_selector('[data-status="abstain"]')
    page.get_by_text("Add to the record").first.click()
    page.get_by_text("Entries so far").click()
    page.get_by_role("button", name="Take back entry 2").click()
    page.wait_for_selector(LINE)
    assert page.locator("#entries tbody tr").count() == 1
