"""neurotwin promote, registry and monitor, as a person types them."""

import json
import sys

import pytest
import yaml
from toy_bundles import make_cohort

from neurotwin import cli
from neurotwin.cohort import Cohort
from neurotwin.monitoring.site import Site
from neurotwin.registry import Registry, judge
from neurotwin.registry.gate import Gate
from neurotwin.runtime import Predictor
from neurotwin.verbs.monitoring import sample


@pytest.fixture(autouse=True)
def few_patients_are_asked(monkeypatch):
    monkeypatch.setattr("neurotwin.verbs.monitoring.SAMPLE", 15)


@pytest.fixture
def run(monkeypatch, capsys):
    """Function: words -> exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["neurotwin", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "250")
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_the_whole_way(run, version_of, cohort_folder, gate_file, tmp_path):
    keep = tmp_path / "registry"
    where = ("--registry", keep, "--cohort", cohort_folder, "--gate", gate_file(), "--bootstrap", 100)
    one, two = version_of("0.1.0"), version_of("0.2.0")
    code, _, err = run("promote", one, *where)
    assert code == 0 and "toy_gru 0.1.0 is the champion" in err and "there is no champion yet" in err
    code, _, err = run("promote", two, *where, "--json", tmp_path / "verdict.json")
    assert code == 0 and "beside champion 0.1.0" in err
    assert json.loads((tmp_path / "verdict.json").read_text())["champion"]["version"] == "0.1.0"
    code, out, err = run(
        "promote", version_of("0.3.0"), *where[:-4], "--gate", gate_file("at_most: 100", "at_most: 1.0e-9")
    )
    assert code == 5 and "not promoted" in err and "no" in err
    code, out, _ = run("registry", "list", "--registry", keep)
    assert code == 0 and "0.2.0" in out and "0.1.0" in out and "0.3.0" in out
    code, out, _ = run("registry", "path", "toy_gru", "--registry", keep)
    assert code == 0 and Predictor.load(out.strip()).bundle.version == "0.2.0"
    code, _, err = run("registry", "rollback", "toy_gru", "--registry", keep)
    assert code == 0 and "0.1.0 is the champion again" in err
    code, out, _ = run("registry", "show", "toy_gru", "--registry", keep)
    assert code == 0 and "rollback" in out and "NOT held" in out
    assert run("registry", "verify", "--registry", keep)[0] == 0
    assert Registry(keep).aliases("toy_gru").champion.version == "0.1.0"


@pytest.mark.parametrize(
    "words, told",
    [
        (("registry", "list", "--registry", "nowhere"), "no registry here"),
        (("registry", "show", "nobody", "--registry", "{registry}"), "no twin 'nobody'"),
        (("registry", "path", "toy_gru", "--alias", "king", "--registry", "{registry}"), "alias 'king'"),
        (("registry", "path", "toy_gru", "--alias", "previous", "--registry", "{registry}"), "no previous of toy_gru"),
        (("promote", "{champion}", "--gate", "{gate}"), "the champion already"),
        (("promote", "{other}", "--gate", "nowhere.yaml"), "no gate file"),
        (("promote", "{other}", "--gate", "{gate}", "--part", "some"), "part 'some'"),
        (("promote", "{other}", "--gate", "{gate}", "--cohort", "nowhere"), "no cohort here"),
        (("promote", "nowhere", "--gate", "{gate}"), "no such bundle"),
        (("monitor", "{other}", "{cohort}", "--fail-on", "monday"), "fail-on 'monday'"),
        (("monitor", "{other}", "{cohort}", "--by", "size"), "no covariate 'size'"),
        (("monitor", "{other}", "{cohort}", "--html", "nowhere/page.html"), "no such folder"),
        (("monitor", "{other}", "nowhere"), "no cohort here"),
        (("monitor", "{other}", "{cohort}", "--json", "nowhere/m.json"), "no such folder"),
        (("monitor", "{other}", "{cohort}", "--output", "{gate}"), "file exists"),
        (("promote", "{other}", "--gate", "{gate}", "--json", "nowhere/v.json"), "no such folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, version_of, verdict_of, cohort_folder, gate_file, tmp_path, words, told):
    from neurotwin.bundle import Bundle

    champion, other = version_of("0.1.0"), version_of("0.2.0")
    Registry(tmp_path / "registry").settle(Bundle.load(champion), verdict_of(champion))
    known = {
        "registry": tmp_path / "registry", "champion": champion, "other": other, "gate": gate_file(),
        "cohort": cohort_folder,
    }  # fmt: skip
    words = [word.format(**known) for word in words]
    if words[0] == "promote":
        words += ["--registry", str(known["registry"])] + (
            [] if "--cohort" in words else ["--cohort", str(cohort_folder)]
        )
    code, _, err = run(*words)
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1
    assert len(Registry(tmp_path / "registry").history().lines) == 1


def test_a_cohort_of_training_is_judged_on_its_test_part_alone(run, version_of, gate_file, tmp_path, rehash):
    make_cohort(300, seed=30).save(tmp_path / "own")
    sha = json.loads((tmp_path / "own/cohort.json").read_text())["sha256"]
    bundle = version_of("0.1.0")
    rehash(bundle, data_sha256=sha)
    gate = gate_file("minimum_patients: 100", "minimum_patients: 20")
    where = ("--registry", tmp_path / "r", "--cohort", tmp_path / "own", "--gate", gate, "--bootstrap", 100)
    code, _, err = run("promote", bundle, *where, "--part", "all")
    assert code == 2 and "was trained on this cohort" in err
    code, _, err = run("promote", bundle, *where)
    assert code == 0 and "own (test)" in err and f"{len(Cohort.load(tmp_path / 'own').part('test'))} subjects" in err


def test_monitor_says_so_with_its_exit_code(run, gru_bundle, cohort_folder, copy_of, rehash, tmp_path):
    from benchmarks.monitor.changes import shifted

    shifted("volume", 1.5)(make_cohort(150, seed=22)).save(tmp_path / "moved")
    code, _, err = run("monitor", gru_bundle, tmp_path / "moved", "--json", tmp_path / "m.json")
    report = json.loads((tmp_path / "m.json").read_text())
    assert code == 5 and "volume.level" in err and report["verdict"] == "alarm"
    assert run("monitor", gru_bundle, tmp_path / "moved", "--fail-on", "never")[0] == 0
    old = copy_of(gru_bundle, "old")
    (old / "reference.json").unlink()
    rehash(old)
    code, _, err = run("monitor", old, cohort_folder)
    assert code == 2 and "carries no reference" in err and "--reference" in err
    code, _, err = run("monitor", old, tmp_path / "moved", "--reference", cohort_folder)
    assert code == 5 and "volume.level" in err


def judged(candidate, champion, cohort, **rules):
    base = {
        "schema_version": 1, "minimum_patients": 20, "accuracy": [{"metric": "mae", "at_most": 1e9}],
        "coverage": {"at_least": 0.0}, "parity": {"at_most": 1.0}, "abstention": {"at_most": 1.0},
    }  # fmt: skip
    gate = Gate.parse(yaml.safe_dump(base | rules).encode(), "gate.yaml")
    site = Site(cohort, "0" * 64, "all", "ward")
    return judge(candidate, champion, site, gate, patients=sample(cohort, 10), n_bootstrap=100)


def test_a_gate_that_asks_little_holds(gru_bundle):
    assert judged(Predictor.load(gru_bundle), None, make_cohort(120, seed=23)).held


@pytest.mark.parametrize(
    "rules, rule",
    [
        ({"minimum_patients": 10_000}, "patients scored"),
        ({"accuracy": [{"variable": "volume", "at_most": 1e-6}]}, "mae of volume (log), upper end"),
        ({"accuracy": [{"better_than_locf": True, "variable": "volume"}]}, "less that of the last value"),
        ({"coverage": {"at_least": 0.999, "at_most": 1.0}}, "inside 90%"),
        ({"parity": {"at_most": 1e-30}}, "parity"),
        ({"latency": {"p95_ms_at_most": 1e-6}}, "95 of 100"),
        ({"subgroups": {"by": ["sex"], "error_ratio_at_most": 1.0, "coverage_gap_at_most": 0.0}}, "sex"),
    ],
)
def test_each_rule_can_say_no(gru_bundle, rules, rule):
    verdict = judged(Predictor.load(gru_bundle), None, make_cohort(120, seed=23), **rules)
    assert not verdict.held and any(rule in row.rule for row in verdict.rows if not row.held)


def test_drift_and_silence_can_say_no(gru_bundle):
    from benchmarks.monitor.changes import in_another_unit

    wrong = in_another_unit("volume", 1000.0, 1.0)(make_cohort(120, seed=24))
    predictor = Predictor.load(gru_bundle)
    verdict = judged(predictor, None, wrong, abstention={"at_most": 0.5}, drift={"verdict_at_most": "watch"})
    no = {row.rule: row for row in verdict.rows if not row.held}
    assert set(no) == {"share answered with silence", "drift, alarms"}
    assert no["share answered with silence"].measured == 1.0 and "volume.level" in no["drift, alarms"].note


def test_a_candidate_that_is_worse_than_the_champion_is_not_promoted(gru_bundle, copy_of, rehash):
    """Calibrated otherwise, its medians are the champion's: only the intervals can differ, and CRPS sees them."""
    folder = copy_of(gru_bundle, "toy_gru@0.2.0")
    content = json.loads((folder / "calibration.json").read_text())
    for channel in content["channels"].values():
        channel["factor"] = [20 * factor for factor in channel["factor"]]
    (folder / "calibration.json").write_text(json.dumps(content))
    rehash(folder, version="0.2.0")
    champion, candidate, cohort = Predictor.load(gru_bundle), Predictor.load(folder), make_cohort(120, seed=25)
    crps = {"accuracy": [{"metric": "crps", "worse_than_champion_at_most": 0.05}]}
    worse, better = judged(candidate, champion, cohort, **crps), judged(champion, candidate, cohort, **crps)
    assert not worse.held and better.held
    assert worse.champion.version == "0.1.0" and worse.candidate.version == "0.2.0"
    told = next(row for row in worse.rows if not row.held)
    assert told.measured > 0.05 and "less the champion's" in told.rule


def test_a_rule_about_what_is_not_there_is_refused(gru_bundle):
    from neurotwin.errors import ConfigError

    for rules in (
        {"accuracy": [{"variable": "weight", "at_most": 1.0}]},
        {"subgroups": {"by": ["race"], "error_ratio_at_most": 2.0, "coverage_gap_at_most": 0.1}},
    ):
        with pytest.raises(ConfigError, match="gate"):
            judged(Predictor.load(gru_bundle), None, make_cohort(60), **rules)


def test_a_folder_that_is_no_registry_is_refused_before_anything_is_judged(
    run, version_of, cohort_folder, gate_file, tmp_path
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    bundle, where = version_of("0.1.0"), ("--cohort", cohort_folder, "--gate", gate_file())
    code, _, err = run("promote", bundle, "--registry", tmp_path / "thesis", *where)
    assert code == 2 and "holds something else" in err and err.count("\n") == 1
    assert [item.name for item in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
    code, _, err = run("promote", bundle, "--registry", tmp_path / "thesis" / "chapter.tex", *where)
    assert code == 2 and err.count("\n") == 1
