"""Another model in the same pages: two quantities, a bolus, an infusion and a setting; covariates with units."""

import json

import pytest
from service_cases import Serving

pytestmark = pytest.mark.service
RECORD = {
    "id": "p-1",
    "time_unit": "d",
    "static": {"age": {"value": 50, "unit": "a"}, "sex": "f"},
    "observations": [
        {"t": 0, "variable": "volume", "value": 20.0, "unit": "cm3"},
        {"t": 0, "variable": "temperature", "value": 37.0, "unit": "Cel"},
        {"t": 20, "variable": "volume", "value": 24000, "unit": "mm3"},
        {"t": 41.5, "variable": "temperature", "value": 37.4, "unit": "Cel"},
    ],
    "treatments": [
        {"t": 10, "treatment": "chemo", "amount": 5, "unit": "mg"},
        {"t": 15, "t_end": 35, "treatment": "drip", "rate": 4, "unit": "mg/h"},
        {"t": 25, "treatment": "pump", "level": 0.5, "unit": "1"},
    ],
}


@pytest.fixture(scope="module")
def two_models(tmp_path_factory, node_bundle):
    """A service with two models."""
    one = Serving(tmp_path_factory.mktemp("two"), str(node_bundle), "--teach")
    yield one
    one.stop()


def test_the_model_is_chosen(tab, two_models):
    page = tab(two_models.url).open("/")
    assert page.locator("[data-static=stage]").count() == 1
    choice = page.locator("select[name=model]")
    other = next(value for value in choice.locator("option").evaluate_all("all => all.map((one) => one.value)")
                 if value != "lung_tumour")  # fmt: skip
    choice.select_option(other)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"**/?model={other}")
    assert page.get_by_label("age (seen", exact=False).count() == 1
    assert page.locator("[data-static=stage]").count() == 0

    page.get_by_text("Paste or copy JSON").click()
    page.get_by_label("Patient document").fill(json.dumps(RECORD))
    page.get_by_role("button", name="Use this").click()
    page.wait_for_selector("#curves path.line")
    assert page.locator("#curves svg.plot").count() == 2 and page.locator("#differences svg.plot").count() == 2
    assert page.locator("#curves circle.seen").count() == 4
    page.get_by_role("button", name="Write the form here").click()
    told = json.loads(page.get_by_label("Patient document").input_value())
    assert told["static"] == RECORD["static"] and told["observations"] == RECORD["observations"]
    assert sorted(map(str, told["treatments"])) == sorted(map(str, [
        {key: one[key] for key in ("t", "treatment", "amount", "rate", "level", "unit", "t_end") if key in one}
        for one in RECORD["treatments"]
    ]))  # fmt: skip

    page.get_by_label("A: one dose, dose 1: Treatment").select_option("drip")
    page.get_by_label("A: one dose, dose 1: Until (d)").fill("9")
    page.locator(".dose .period").wait_for()
    dose = page.locator('.dose[data-key="0-0"]')
    dose.focus()
    before = float(page.get_by_label("A: one dose, dose 1: Time (d)").input_value())
    page.keyboard.press("ArrowRight")
    moved = float(page.get_by_label("A: one dose, dose 1: Time (d)").input_value()) - before
    assert moved > 0 and float(page.get_by_label("A: one dose, dose 1: Until (d)").input_value()) == 9 + moved


def test_a_model_of_no_known_simulator_has_no_lessons(tab, two_models, node_bundle):
    page = tab(two_models.url).open("/teach")
    choice = page.locator("select[name=model]")
    names = choice.locator("option").evaluate_all("all => all.map((one) => one.value)")
    page.goto(f"{two_models.url}/teach?model={next(name for name in names if name != 'lung_tumour')}")
    assert "trained on a simulator of this library" in page.get_by_role("alert").inner_text()
