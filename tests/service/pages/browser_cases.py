"""What a person does with the patient's page, for tests that drive a browser."""

import json

from page_cases import PATIENT

LINE = '#curves path.line[data-course="A: one dose"]'


def type_in(page, rows=((0, 31.2), (10, 33.0), (20, 29.5)), dose=(11, 2)):
    """Type measurements and a dose as a person does."""
    for number, (t, value) in enumerate(rows, start=1):
        page.get_by_role("button", name="Add a measurement").click()
        page.get_by_label(f"measurement {number}: Time (d)").fill(str(t))
        page.get_by_label(f"measurement {number}: Value").fill(str(value))
    page.get_by_role("button", name="Add a treatment").click()
    page.get_by_label("treatment 1: Treatment").select_option("radiotherapy")
    page.get_by_label("treatment 1: Time (d)").fill(str(dose[0]))
    page.get_by_label("treatment 1: Amount").fill(str(dose[1]))
    page.get_by_label("stage").select_option("II")
    page.wait_for_selector(LINE)


def paste(page, document=PATIENT):
    """Hand a document in as JSON."""
    page.get_by_text("Paste or copy JSON").click()
    page.get_by_label("Patient document").fill(json.dumps(document))
    page.get_by_role("button", name="Use this").click()


def settled(page):
    """The page has answered all that it was asked."""
    page.wait_for_function("() => document.body.dataset.busy === 'false'")


def course(page):
    """The first plan's curve."""
    return page.locator(LINE).get_attribute("d")
