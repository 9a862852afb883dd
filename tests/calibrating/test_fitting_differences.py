"""Intervals of differences hold as often as they say, for large and for small differences."""

import numpy as np
import pytest
from gap_cases import PREDICTOR, SIGNATURE, made_gaps

from neurotwin.calibrating.fitting import coverage_of, fit_differences
from neurotwin.errors import BundleError, CohortError, ConfigError
from neurotwin.runtime.paired import PairedCalibration
from neurotwin.runtime.tried import BASES


def fit(gaps, **changes):
    return fit_differences(
        gaps, PREDICTOR, **{"horizons": [2.0, 4.0], "min_patients": 40, "seed": 3, "pairs": {}, **changes}
    )


def told(paired, gaps):
    """Of one-channel gaps, through the runtime's own door."""
    columns = (values[:, None] for values in (gaps.low, gaps.median, gaps.high, gaps.size))
    return paired.apply(gaps.after, gaps.totals, *columns)


def test_the_level_holds_on_new_patients_and_at_every_size():
    paired, new = fit(made_gaps(1500)), made_gaps(1500, seed=1)
    found = told(paired, new)
    low, high = found.low[:, 0], found.high[:, 0]
    assert coverage_of(new, low, high) == pytest.approx(0.9, abs=0.015)
    assert coverage_of(new, new.low, new.high) < 0.75
    reach = new.high - new.median
    for part in np.array_split(np.argsort(reach), 3):
        assert coverage_of(new.take(part), low[part], high[part]) == pytest.approx(0.9, abs=0.03)
    powers = paired.groups[0].powers[0, 0]
    assert powers[0] == pytest.approx(0.5, abs=0.1) and powers[1] < 0.2  # all sizes are one: its power may be anything
    assert not found.why and (found.n_patients > 100).all() and np.isfinite(found.coverage).all()


def test_what_was_measured_stands_in_the_part():
    paired = fit(made_gaps(900))
    assert [one.treatments for one in paired.groups] == [("chemo",), ("chemo", "drip")]
    for group in paired.groups:
        assert (np.abs(group.coverage - 0.9) < 0.07).all() and (group.drawn < 0.8).all()
        assert (group.n_test > 130).all() and (group.n_patients > 130).all() and (group.basis == 0).all()
    assert paired.groups[0].totals.tolist() == [[5, 0], [5, 0]] and paired.groups[1].totals.tolist() == [[5, 3], [5, 3]]


def test_a_bin_with_few_patients_takes_what_all_treatments_tell():
    gaps = made_gaps(600)
    few = gaps.take((gaps.subject % 2 == 0) | (gaps.after <= 2) | (gaps.subject < 60))
    groups = {one.treatments: one for one in fit(few).groups}
    assert [BASES[code] for code in groups["chemo", "drip"].basis[:, 0]] == ["treatments", "all"]
    assert groups["chemo", "drip"].n_patients[1, 0] > groups["chemo",].n_patients[1, 0]


def test_plans_that_do_not_differ_yet_are_left_alone():
    gaps = made_gaps(300)
    same = gaps.take(np.arange(4))
    paired = fit(gaps)
    nothing = np.zeros((4, 1))
    found = paired.apply(same.after, same.totals, nothing, nothing, nothing, same.size[:, None])
    assert (found.low == 0).all() and (found.high == 0).all() and (found.n_patients == -1).all() and not found.why
    ungiven = paired.apply(same.after, same.totals * 0, nothing - 1, nothing, nothing + 1, same.size[:, None])
    assert (ungiven.low == -1).all() and not ungiven.why
    with pytest.raises(CohortError, match="no plans that differ"):
        gaps.totals[:] = 0
        fit(gaps)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"after": 9.0}, "differences tried up to 4 d"),
        ({"totals": [[6.0, 0.0], [0.0, 0.0]]}, "chemo in total, differences tried up to 5 by then"),
        ({"totals": [[0.0, 0.0], [0.0, 2.0]]}, "differences of drip were not tried"),
    ],
)
def test_plans_outside_what_was_tried_are_told(change, why):
    paired, gaps = fit(made_gaps(300)), made_gaps(300)
    row = gaps.take(np.flatnonzero(gaps.subject % 2 == 0)[:1])
    after = np.array([change.get("after", 1.0)])
    totals = np.array([change["totals"]]) if "totals" in change else row.totals
    wide = np.array([[-1e6]]), np.array([[1.0]]), np.array([[1e6]]), np.array([[20.0]])
    found = paired.apply(after, totals, *wide)
    assert found.why == [why] and found.n_patients[0, 0] <= 0 and np.isnan(found.coverage[0, 0])
    assert found.low[0, 0] == -1e6 and found.high[0, 0] == 1e6  # never narrower than the draws'


def test_too_few_patients_are_refused():
    with pytest.raises(CohortError, match="40 patients whose plans differ"):
        fit(made_gaps(40))
    with pytest.raises(ConfigError, match="do not rise"):
        fit(made_gaps(300), horizons=[3.0, 1.0])


def test_the_part_is_read_as_it_was_written():
    paired = fit(made_gaps(300))
    content = paired.to_dict()
    again = PairedCalibration.of({"level": 0.9, "differences": content}, SIGNATURE)
    assert again.to_dict() == content and PairedCalibration.of({"level": 0.9}, SIGNATURE) is None
    gaps = made_gaps(50, seed=4)
    np.testing.assert_array_equal(told(again, gaps).low, told(paired, gaps).low)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part: part.update(level=0.8),
        lambda part: part.update(kind="other"),
        lambda part: part.update(time_unit="h"),
        lambda part: part.update(horizons=[2.0, None]),
        lambda part: part.update(horizons=[4.0, 2.0]),
        lambda part: part.update(horizons=[2.0]),
        lambda part: part.pop("groups"),
        lambda part: part["groups"].append(part["groups"][0]),
        lambda part: part["groups"][0].update(treatments=["surgery"]),
        lambda part: part["groups"][0]["totals"].update(chemo=[-1.0, 2.0]),
        lambda part: part["groups"][0]["totals"].pop("drip"),
        lambda part: part["groups"][0]["channels"]["volume"].update(unit="mL"),
        lambda part: part["groups"][0]["channels"]["volume"].update(factor=[1.0]),
        lambda part: part["groups"][0]["channels"]["volume"].update(factor=[-1.0, 1.0]),
        lambda part: part["groups"][0]["channels"]["volume"].update(factor=["1", 1.0]),
        lambda part: part["groups"][0]["channels"]["volume"].update(powers=[[1.0, 0.0], [1.0, 0.0]]),
        lambda part: part["groups"][0]["channels"]["volume"].update(powers=[[-1.0, 0, 0], [1.0, 0, 0]]),
        lambda part: part["groups"][0]["channels"]["volume"].update(typical=[[0.0, 1, 1], [1.0, 1, 1]]),
        lambda part: part["groups"][0]["channels"]["volume"].update(basis=["treatments", "guess"]),
    ],
)
def test_a_part_that_is_not_whole_is_refused(spoil):
    part = fit(made_gaps(300)).to_dict()
    spoil(part)
    with pytest.raises(BundleError, match="calibration.json: differences"):
        PairedCalibration.of({"level": 0.9, "differences": part}, SIGNATURE)
