"""How far beyond the values of training one may lie: on the unit's own scale, and on the modelling scale."""

import pytest

from neurotwin.runtime import Reason, Twin


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (4.5, "ok"),
        (3.0, "degraded"),  # below the range by less than a quarter of it, also on the logarithm
        (1.0, "abstain"),  # as near on the unit's scale, and far off on the logarithm
        (95.0, "degraded"),
        (110.0, "abstain"),  # by more than a quarter of the range; on the logarithm that would be near
    ],
)
def test_a_value_is_far_off_on_either_scale(predictor, patient, value, status):
    low, high = predictor.signature.variables[0].trained
    assert 4 < low < 4.5 and 80 < high < 85
    patient["observations"] = [one for one in patient["observations"] if one["variable"] == "temperature"]
    patient["observations"].append({"t": 41.5, "variable": "volume", "value": value, "unit": "cm3"})
    notes = Twin.of(predictor, patient).notes
    assert (Reason.EXTRAPOLATION in notes.refused) == (status == "abstain")
    assert (Reason.EXTRAPOLATION in notes.warned) == (status == "degraded")
