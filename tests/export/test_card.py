"""The model card."""

from neurotwin.export.card import model_card

MANIFEST = {
    "license": "Apache-2.0", "name": "toy", "version": "0.1.0", "intended_use": "tests", "not_for": "anything else",
    "synthetic": True,
}  # fmt: skip
SIGNATURE = {
    "channels": {"observations": [], "treatments": []},
    "trained_horizon": 10.0,
    "time_unit": "d",
    "support": {"threshold": 1.0},
    "counterfactual": "not_identified",
}
DATA = {"subjects": {"train": 3, "validation": 1, "test": 1}, "sha256": "0" * 64}
CALIBRATION = {"level": 0.9, "horizons": [1.0, None], "time_unit": "d", "channels": {}}


def card(measures):
    return model_card(MANIFEST, SIGNATURE, DATA, CALIBRATION, {"assimilate": 1e-7}, measures)


def test_what_a_model_tells_of_itself_is_in_its_card():
    text = card({"residual_share_volume": 0.0312})
    assert "## What the model tells of itself" in text and "- residual share volume: 0.0312" in text


def test_a_model_that_tells_nothing_has_no_such_section():
    assert "tells of itself" not in card({})
