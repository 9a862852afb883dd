"""Who reads the pages how: contrast, names of controls, a phone, paper, the keyboard."""

from pathlib import Path

import pytest
from browser_cases import LINE, paste

pytestmark = pytest.mark.service
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/twins/p-18", "/twins/p-19", "/population", "/teach", "/login"])
def test_texts_stand_out_and_controls_are_named(tab, path, scheme):
    page = tab(color_scheme=scheme).open(path)
    if path == "/":
        paste(page)
        page.wait_for_selector(LINE)
        page.get_by_role("spinbutton", name="Threshold").fill("40")
    settled_once = page.locator("h1")
    settled_once.wait_for()
    page.wait_for_timeout(400)
    faint = page.evaluate(CONTRAST)
    assert faint["checked"] > 5 and faint["faint"] == [] and faint["nameless"] == []


@pytest.mark.parametrize("path", ["/", "/twins/p-18", "/population", "/teach", "/login"])
def test_a_phone_scrolls_down_only(tab, path):
    page = tab(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True).open(path)
    if path == "/":
        paste(page)
        page.get_by_role("spinbutton", name="Threshold").fill("40")
        page.get_by_role("button", name="Search").click()
        page.wait_for_selector(".pick", timeout=30_000)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.evaluate("scrollTo(0, 9e9)")
    assert page.get_by_role("note").is_visible()
    box = page.get_by_role("note").bounding_box()
    assert 0 <= box["y"] < 100  # the warning stays in view


def test_a_finger_drags_a_dose(tab):
    page = tab(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True).open("/")
    paste(page)
    page.wait_for_selector(LINE)
    dose = page.locator('.dose[data-key="0-0"]')
    dose.scroll_into_view_if_needed()
    box = dose.locator(".head").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    places = [{"x": x + 8 * step, "y": y} for step in range(8)]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert float(dose.get_attribute("aria-valuenow")) > 3


def test_paper(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    page.emulate_media(media="print")
    assert page.locator(LINE).is_visible() and page.get_by_role("note").is_visible()
    for hidden in ("nav", "#search", "#add-plan", ".paste"):
        assert not page.locator(hidden).first.is_visible()
    assert len(page.pdf()) > 10_000


def test_the_focus_can_be_seen_and_goes_down_the_page(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    assert page.locator('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])').count() == 0
    page.locator(".skip").focus()
    seen = []
    for _ in range(70):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("""() => {
          const own = document.activeElement;
          const mark = getComputedStyle(own.querySelector?.(".hit") ?? own);
          const visible = parseFloat(mark.outlineWidth) > 0 || mark.stroke !== "none";
          return [own.className.baseVal ?? own.id, own.tagName, visible];
        }""")
        )
    assert all(visible for *_, visible in seen)
    assert any("dose" in str(name) for name, *_ in seen)
