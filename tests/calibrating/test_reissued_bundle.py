"""neurotwin calibrate: a new version of the bundle, its graphs untouched; what it says; and what it refuses."""

import json

import jsonschema
import pytest

from neurotwin import compose
from neurotwin.bundle import ASSIMILATE, FORECAST, GOLDEN, SIGNATURE, Bundle
from neurotwin.calibrating import reissue
from neurotwin.cli import app
from neurotwin.errors import BundleError, CohortError, ConfigError, SimulationError
from neurotwin.runtime import Predictor, Twin, schemas
from neurotwin.simulators.simulate import simulate
from neurotwin.verbs.calibrate import calibrate_bundle

RANDOMISED = ("simulator=geng_nsclc", "protocol@plans=randomised_chemo_rt")
CHEMO = {"t": 0, "treatment": "chemotherapy", "amount": 5, "unit": "mg/m3"}
PATIENT = {
    "id": "x", "time_unit": "d", "static": {},
    "observations": [{"t": 3 * n, "variable": "tumour_volume", "value": 30 + n, "unit": "cm3"} for n in range(6)],
}  # fmt: skip


def compared(bundle, at=(5, 15), given=(CHEMO,)):
    plans = [
        {"name": name, "time_unit": "d", "query": {"at": list(at)}, "treatments": list(treatments)}
        for name, treatments in (("none", ()), ("chemo", given))
    ]
    return Twin.of(Predictor.load(bundle), PATIENT).compare(plans)


def test_graphs_stay_and_the_parent_is_named(lung_bundle, calibrated_bundle):
    before, after = Bundle.load(lung_bundle), Bundle.load(calibrated_bundle)
    for name in (ASSIMILATE, FORECAST, GOLDEN, SIGNATURE):
        assert (lung_bundle / name).read_bytes() == (calibrated_bundle / name).read_bytes()
    assert (after.name, after.version) == ("lung_tumour", "9.0.0")
    assert after.manifest["parent"] == {"version": before.version, "sha256": before.sha256}
    assert after.calibration["channels"] == before.calibration["channels"]
    assert after.calibration["differences"]["pairs"]["simulation"]["seed"] == 900001


def test_the_card_tells_the_differences_once(calibrated_bundle, tmp_path):
    card = (calibrated_bundle / "MODEL_CARD.md").read_text()
    assert "# lung_tumour 9.0.0" in card and card.count("## How sure it is of differences between plans") == 1
    assert "| chemotherapy + radiotherapy | tumour_volume |" in card and "seed 900001" in card
    old = Bundle.load(calibrated_bundle)
    again = reissue(old, old.calibration, tmp_path / "lung_tumour@9.0.1").bundle
    told = (again.path / "MODEL_CARD.md").read_text()
    assert told == card.replace("# lung_tumour 9.0.0", "# lung_tumour 9.0.1")


def test_a_place_that_cannot_be_written_is_one_line(calibrated_bundle, tmp_path):
    (tmp_path / "file").write_text("")
    old = Bundle.load(calibrated_bundle)
    with pytest.raises(ConfigError, match="lung_tumour@9.0.1"):
        reissue(old, old.calibration, tmp_path / "file" / "lung_tumour@9.0.1")


def test_answers_tell_what_the_interval_rests_on(calibrated_bundle, lung_bundle):
    answer = compared(calibrated_bundle)
    jsonschema.validate(answer, schemas()["comparison"])
    for row in answer["differences"]:
        interval = row["interval"]
        assert interval["kind"] == "split_conformal_of_differences" and interval["calib_n"] >= 10
        assert 0.5 < interval["empirical_coverage"] <= 1 and interval["lo"] < row["median"] < interval["hi"]
    assert answer["difference_reasons"] == [] and answer["difference_details"] == []
    medians = [[row["median"] for row in compared(path)["differences"]] for path in (calibrated_bundle, lung_bundle)]
    assert medians[0] == medians[1]


def test_plans_unlike_those_tried_are_told(calibrated_bundle):
    answer = compared(calibrated_bundle, at=(5, 30))
    jsonschema.validate(answer, schemas()["comparison"])
    assert answer["difference_reasons"] == ["extrapolation"]
    assert answer["difference_details"] == ["extrapolation: none, chemo: differences tried up to 20 d"]
    inside, outside = (row["interval"] for row in answer["differences"])
    assert inside["calib_n"] > 0 and outside["calib_n"] == 0 and outside["empirical_coverage"] is None
    many = compared(calibrated_bundle, given=[{**CHEMO, "t": day} for day in range(5)])
    assert "chemotherapy in total" in many["difference_details"][0]


@pytest.mark.parametrize(
    ("overrides", "error", "match"),
    [
        ((), ConfigError, "nothing to calibrate on"),
        (("--fast",), ConfigError, "unknown option '--fast'"),
        (("simulator=geng_nsclc",), ConfigError, "without regimens"),
        ((*RANDOMISED, "seed=1"), ConfigError, "bundle's own"),
        (("simulator=vancomycin", "n_subjects=5"), CohortError, "other variables"),
        ((*RANDOMISED, "cuts=[]"), ConfigError, "no cuts"),
        ((*RANDOMISED, "cuts=[90]"), SimulationError, "cut is 90"),
        (
            (*RANDOMISED, "n_subjects=0"),
            SimulationError,
            "whole number",
        ),
        (
            (*RANDOMISED, "n_subjects=30"),
            CohortError,
            "patients whose",
        ),
        (("simulator=geng_nsclc", "patients=5"), ConfigError, "patients"),
    ],
)
def test_wrong_input_is_told_in_one_line_and_leaves_nothing(overrides, error, match, lung_bundle, tmp_path):
    with pytest.raises(error, match=match) as told:
        calibrate_bundle(lung_bundle, tmp_path / "lung_tumour@9.0.0", overrides, None, 1)
    assert "\n" not in str(told.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["lung_tumour", "other@1.0.0", "lung_tumour@1.0", None])
def test_the_new_bundle_has_the_old_name_and_a_new_version(name, lung_bundle, tmp_path):
    with pytest.raises(ConfigError, match="another version"):
        calibrate_bundle(lung_bundle, tmp_path / (name or lung_bundle.name), ("simulator=geng_nsclc",), None, 1)


def test_a_part_that_does_not_fit_leaves_nothing(lung_bundle, tmp_path):
    bundle = Bundle.load(lung_bundle)
    with pytest.raises(BundleError, match="differences"):
        reissue(bundle, {**bundle.calibration, "differences": {}}, tmp_path / "lung_tumour@9.0.0")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Patients of a site whose assay is worse."""
    config = compose.compose("simulate", ["simulator=geng_nsclc", "protocol.assays.0.proportional=0.3"])
    parts = [compose.build(config[name], name) for name in ("simulator", "population", "protocol")]
    folder = tmp_path_factory.mktemp("site") / "cohort"
    simulate(*parts, n_subjects=240, seed=5).save(folder)
    return folder


def test_a_site_fits_its_forecasts_and_keeps_the_differences(calibrated_bundle, site, tmp_path):
    target = tmp_path / "lung_tumour@9.1.0"
    made = calibrate_bundle(calibrated_bundle, target, (), site, 1)
    before = Bundle.load(calibrated_bundle).calibration
    assert made.calibration["differences"] == before["differences"]
    ours, theirs = (one["channels"]["tumour_volume"] for one in (made.calibration, before))
    assert min(now / was for now, was in zip(ours["factor"], theirs["factor"], strict=True)) > 1.3
    assert all(0.8 < share <= 1 for share in ours["coverage"]) and ours["n_test"][0] > 80
    card = (target / "MODEL_CARD.md").read_text()
    assert "fitted again" in card and card.count("## How sure it is\n") == 1 and "differences between plans" in card


def test_the_verb_ends_with_the_next_step(lung_bundle, site, tmp_path, capsys):
    app(["calibrate", str(lung_bundle), "-o", str(tmp_path / "lung_tumour@9.0.0"), "--cohort", str(site)],
        standalone_mode=False)  # fmt: skip
    told = capsys.readouterr()
    assert told.out == "" and "Forecasts, coverage on the other half" in told.err and "next: neurotwin" in told.err
    manifest = json.loads((tmp_path / "lung_tumour@9.0.0" / "manifest.json").read_text())
    assert manifest["version"] == "9.0.0"
