"""A whole trial: its numbers, files and page, and what is refused."""

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from trial_cases import vancomycin_world

from neurotwin.errors import ConfigError, OutputInUseError
from neurotwin.simulators.regimens import Cycles
from neurotwin.trials import Arm, Design, Sizes, run_trial
from neurotwin.trials.adverse_events import Crossing
from neurotwin.trials.dropout import Dropout
from neurotwin.trials.eligibility import Criterion
from neurotwin.trials.endpoints import Area, Reach
from neurotwin.trials.groups import Split
from neurotwin.trials.progression import Progression
from neurotwin.trials.randomisation import Randomisation
from neurotwin.trials.results import write_trial

NAME = "vancomycin_concentration"
DOSES = {"low": 1000.0, "high": 1500.0}
DESIGN = Design(
    "Two doses",
    "Which <one>?",
    {name: Arm([Cycles("vancomycin", amount, 12.0, count=4, duration=1.0)]) for name, amount in DOSES.items()},
    24.0,
    {
        "average": Area(NAME, "mg/L", 36.0),
        "peak": Progression(NAME, "mg/L", 0.5, 40.0, "h"),
        "high": Reach(NAME, "mg/L", 36.0, above=25.0),
    },
    {"toxic": Crossing(NAME, "mg/L", above=30.0)},
    [Criterion("age", 20.0, 75.0, "a")],
    Randomisation(strata=[Split("sex")]),
    Dropout(0.003),
    [Split("sex"), Split("age", [50.0], "a")],
    Sizes(60, 150, (40, 80), 20),
    ["clearance", 0.8],
)  # fmt: skip


@pytest.fixture(scope="module")
def done():
    return run_trial(DESIGN, vancomycin_world(), seed=4)


@pytest.fixture(scope="module")
def folder(done, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial") / "out"
    write_trial(folder, done, DESIGN, {"seed": 4}, command="neurotwin trial")
    return folder


def test_nobody_is_lost_on_the_way(done):
    flow = done.numbers["flow"]
    assert flow["screened"] == flow["eligible"] + flow["not_eligible"] == 150
    assert flow["eligible"] == flow["randomised"] + flow["not_needed"]
    assert sum(arm["allocated"] for arm in flow["arms"].values()) == flow["randomised"] == 60
    for arm in flow["arms"].values():
        assert arm["left"] + arm["stayed"] == arm["allocated"] >= arm["analysed"]


def test_effects_stand_beside_the_truth(done):
    average = done.numbers["endpoints"]["average"]
    effect = average["effects"]["baseline and twin"]
    assert (
        effect["low"] < average["truth"]["difference"] < effect["high"]
        and effect["se"] < average["effects"]["unadjusted"]["se"]
    )
    assert done.numbers["endpoints"]["peak"]["truth"]["hazard_ratio"] > 1
    assert done.numbers["adverse_events"]["toxic"]["risk_difference"]["estimate"] > 0
    external = done.numbers["external_control"]["populations"]
    assert len(external) == 2
    found = [abs(one["analyses"]["external control"]["bias"]) for one in external.values()]
    assert found[1] > found[0]


def test_the_same_seed_tells_the_same(done):
    again = run_trial(DESIGN, vancomycin_world(), seed=4)
    assert json.dumps(again.numbers, default=str) == json.dumps(done.numbers, default=str)
    other = run_trial(replace(DESIGN, shift=None), vancomycin_world(), seed=5, twins="none")
    assert other.numbers["endpoints"]["average"]["effects"].keys() == {"unadjusted", "baseline"}
    assert other.numbers["precision"] is None and other.numbers["twins"] is None


def test_the_files(done, folder):
    told = json.loads((folder / "trial.json").read_text())
    assert told["arms"] == {"control": "low", "treated": "high"} and told["flow"] == done.numbers["flow"]
    subjects = pq.read_table(folder / "subjects.parquet").to_pandas()
    assert len(subjects) == 60 and subjects.id.is_unique and set(subjects.arm) == {"low", "high"}
    assert set(subjects.sex) == {"male", "female"}
    treated = subjects.arm == "high"
    stayed = np.isinf(subjects.left_at)
    expected = np.where(treated, subjects["treated.average"], subjects["control.average"])
    assert np.array_equal(subjects["seen.average"][stayed], expected[stayed], equal_nan=True)
    assert (subjects["treated.average"] > subjects["control.average"]).all()
    assert {"twin.average", "seen.peak.event", "adverse.toxic", "stratum", f"baseline.{NAME}"} <= set(subjects)


def test_the_page(folder):
    page = (folder / "report.html").read_text()
    for identity in ("flow", "endpoints", "courses", "subgroups", "harm", "power", "twins", "assumed"):
        assert f'<section id="{identity}"' in page, identity
    assert (
        'id="engines"' not in page and "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    )
    assert "no evidence about any treatment" in page and "Which &lt;one&gt;?" in page and ">nan<" not in page
    assert page.count("<svg") >= 9
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_another_trial_is_not_overwritten(done, folder):
    write_trial(folder, done, DESIGN, {"seed": 4}, command="again")
    with pytest.raises(OutputInUseError, match="another trial"):
        write_trial(folder, done, DESIGN, {"seed": 5}, command="other")


def test_a_folder_of_something_else_is_not_written_to(done, tmp_path):
    (tmp_path / "metrics.csv").write_text("mine")
    with pytest.raises(OutputInUseError, match="something else"):
        write_trial(tmp_path, done, DESIGN, {"seed": 4}, command="other")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": {"low": Arm()}}, "1 arms: low"),
        ({"endpoints": {}}, "no endpoint"),
        ({"confidence": 0.3}, "confidence is 0.3"),
        ({"shift": ["clearance"]}, "PARAMETER, FACTOR"),
        ({"randomisation": Randomisation(ratio=(1, 1, 1))}, "2 numbers"),
        ({"eligibility": [Criterion("age", 70.0, 75.0, "a")]}, "sizes.screened="),
        ({"endpoints": {"late": Area(NAME, "mg/L", 360.0)}}, "is known of 0.0%"),
        ({"randomisation": Randomisation("simple", (1, 500))}, "arm 'low' got"),
    ],
)
def test_what_cannot_be_done_is_told(change, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        run_trial(replace(DESIGN, **change), vancomycin_world(), seed=4, twins="none")


def test_twins_of_a_bundle_want_a_bundle():
    with pytest.raises(ConfigError, match="without a bundle"):
        run_trial(DESIGN, vancomycin_world(), seed=4, twins="bundle")
