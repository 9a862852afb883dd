"""The page says what the bands of paired differences rest on."""

import pytest
from browser_cases import LINE, paste, settled

pytestmark = pytest.mark.service


def test_bands_are_called_calibrated_and_what_was_not_tried_is_told(tab):
    page = tab().open("/")
    paste(page)
    page.wait_for_selector(LINE)
    settled(page)
    said = page.inner_text("#differences")
    assert "were calibrated on virtual patients whose true difference is known" in said
    assert "joint draws" not in said and "learned from simulated patients only" in said
