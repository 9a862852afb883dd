"""neurotwin distill: from a run to the run of its flow map, to a bundle that says how far it is off."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from toys import toy_cohort

from neurotwin.cli import main
from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.recipes import export_source, load_run
from neurotwin.runtime import Predictor, Twin
from neurotwin.scaling import Scaling
from neurotwin.training.distill import DistillOptions
from neurotwin.training.distill.courses import CourseSource, joined
from neurotwin.training.distill.plans import KINDS
from neurotwin.verbs.distill import distill_run, worst_share

OPTIONS = DistillOptions(steps=2, hidden=8, rates=2)


def quick(run, output, options=OPTIONS, **more):
    return distill_run(run, output, options, progress=False, **more)


@pytest.fixture(scope="module", autouse=True)
def small_pools():
    """Few courses: the road is tested, not the result."""
    from neurotwin.training.distill import data

    with pytest.MonkeyPatch.context() as patch:
        defaults = {**data.CourseData.__init__.__kwdefaults__, "pool": 32, "passes": 2, "courses": 16}
        patch.setattr(data.CourseData.__init__, "__kwdefaults__", defaults)
        patch.setattr("neurotwin.training.distill.measure.REPEATS", 1)
        yield


@pytest.fixture(scope="module")
def distilled(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled") / "flow"
    return folder, quick(trained, folder)


def test_the_teacher_is_inside_as_it_was(distilled, trained):
    student, config = load_run(distilled[0])
    teacher, _ = load_run(trained)
    theirs = student.teacher.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in teacher.state_dict().items())
    assert config["name"].endswith("_distilled") and len(config["distill"]["teacher"]["sha256"]) == 64


def test_what_was_measured_stands_in_the_metrics(distilled):
    folder, metrics = distilled
    told = json.loads((folder / "metrics.json").read_text())["distilled"]
    assert told == json.loads(json.dumps(metrics["distilled"]))
    assert (
        told["horizons"][-1] == told["longest"] > 0 and told["changes"] >= 1 and set(told["totals"]) == {"drug", "drip"}
    )
    for name in ("size", "level"):
        row = told["errors"]["own_plans"][name]
        assert all(m <= p <= w for m, p, w in zip(row["median"], row["p95"], row["worst"], strict=True))
        assert len(told["share"][name]) == len(told["horizons"])
    assert worst_share(metrics) == (max(max(row) for row in told["share"].values()), 0.2)


def test_more_steps_come_closer(trained, tmp_path, distilled):
    longer = quick(trained, tmp_path / "flow", DistillOptions(steps=120, hidden=8, rates=2))
    assert longer["best_validation_loss"] < 0.5 * distilled[1]["best_validation_loss"]


def test_a_distillation_is_gone_on_with(trained, tmp_path):
    whole = quick(trained, tmp_path / "whole", DistillOptions(steps=8, hidden=8, rates=2))
    quick(trained, tmp_path / "parts", DistillOptions(steps=4, hidden=8, rates=2))
    resumed = quick(trained, tmp_path / "parts", DistillOptions(steps=8, hidden=8, rates=2), resume=True)
    assert (resumed["steps"], resumed["epochs"]) == (whole["steps"], whole["epochs"])


def test_bad_folders_are_refused_before_anything_is_written(trained, distilled, tmp_path, copied):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no training run here"):
        quick(tmp_path / "nothing", out)
    with pytest.raises(ConfigError, match="exists already"):
        quick(trained, distilled[0])
    with pytest.raises(ConfigError, match="no distillation to go on with"):
        quick(trained, out, resume=True)
    with pytest.raises(ConfigError, match="DistilledFlow cannot be distilled"):
        quick(distilled[0], out)
    (copied / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(ConfigError, match="no checkpoint"):
        quick(copied, out)
    assert not out.exists()


def test_a_folder_of_another_teacher_is_refused(copied, distilled, tmp_path):
    folder = tmp_path / "flow"
    shutil.copytree(distilled[0], folder)
    config = folder / "config.yaml"
    config.write_text(re.sub(r"sha256: '?\w+'?", f"sha256: '{'0' * 64}'", config.read_text()))
    with pytest.raises(ConfigError, match="was not distilled from this run"):
        quick(copied, folder, resume=True)


def test_the_verb_fails_with_one_line(trained, distilled, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["neurotwin", "distill", str(trained), "-o", str(distilled[0])])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_plans_are_of_the_kinds_asked_for(trained):
    teacher, _ = load_run(trained)
    cohort = toy_cohort(40)
    source = CourseSource(teacher, cohort, Scaling.fit(cohort), 6.0, 2)
    rng = np.random.default_rng(0)
    for kind, name in enumerate(KINDS):
        episodes, kinds = source.episodes(rng, 40, kind)
        ahead = episodes.doses.time >= episodes.cut[episodes.doses.subject]
        assert (kinds == kind).all() and bool(ahead.any()) == (name != "nothing")
        reach = episodes.queries.time.reshape(len(episodes), -1).max(1) - episodes.clock
        np.testing.assert_allclose(reach, 6.0, rtol=1e-6)
        assert (episodes.queries.time >= np.repeat(episodes.cut, source.asked)).all()


def test_courses_are_those_of_the_teacher(trained):
    teacher, _ = load_run(trained)
    cohort = toy_cohort(30)
    source = CourseSource(teacher, cohort, Scaling.fit(cohort), 6.0, 2, asked=5)
    rng = np.random.default_rng(1)
    episodes, _ = source.episodes(rng, 30)
    state, plan, place = source.asked_of(episodes)
    part = teacher.unpack(state)
    courses = source.courses(part["core"].unsqueeze(1), part, plan, place)
    with torch.no_grad():
        act = teacher.act(part["core"], courses.rows, part["clock"].squeeze(-1), part["static"], observe=False)
    expected = act.at_query[torch.arange(len(place)).unsqueeze(1), place, : teacher.n_learned]
    torch.testing.assert_close(courses.target[:, 0], expected)
    both = joined([courses, source.batch(rng, 10)._replace(core=courses.core[:8], target=courses.target[:8])])
    assert len(both.rows.dt) > len(courses.rows.dt)


@pytest.fixture(scope="module")
def bundle(distilled, tmp_path_factory):
    from neurotwin.export import export_bundle

    folder = tmp_path_factory.mktemp("bundles")
    return export_bundle(export_source(distilled[0]), folder / "flow@0.1.0", timelines=100).folder


def test_a_bundle_says_what_it_was_distilled_from(bundle, distilled):
    signature = json.loads((bundle / "signature.json").read_text())
    assert signature["distilled"]["teacher"] == distilled[1]["distilled"]["teacher"]
    assert "## Distilled" in (bundle / "MODEL_CARD.md").read_text()
    assert all(b"Scan" not in node for node in _operators(bundle / "forecast.onnx"))


def _operators(path):
    import onnx

    return {node.op_type.encode() for node in onnx.load(path).graph.node}


def _patient(predictor):
    return {
        "id": "p",
        "time_unit": "d",
        "static": {"age": {"value": 50, "unit": "a"}, "sex": "f"},
        "observations": [
            {"t": t, "variable": name, "value": value, "unit": unit}
            for t in (0, 1, 2)
            for name, value, unit in (("size", 20.0 - t, "mm"), ("level", 90.0, "mg/dL"))
        ],
    }


def _asked(bundle, plan, allow=1e9):
    """The answer of a bundle whose share of error is allowed, or not."""
    from dataclasses import replace

    predictor = Predictor.load(bundle)
    known = predictor.signature.distilled
    object.__setattr__(predictor.signature, "distilled", replace(known, allowed=allow))
    return Twin.of(predictor, _patient(predictor)).forecast({"name": "a", "time_unit": "d", **plan})


def test_a_plan_like_those_measured_is_not_degraded_by_the_flow(bundle):
    answer = _asked(bundle, {"treatments": [], "query": {"at": [1, 2]}})
    assert not [line for line in answer["details"] if "distilled" in line or "off its solve" in line]


def test_an_error_above_the_allowed_degrades(bundle):
    answer = _asked(bundle, {"treatments": [], "query": {"at": [1, 2]}}, allow=0.0)
    assert answer["status"] == "degraded" and "solver_failure" in answer["reasons"]


def test_more_changes_or_more_in_total_than_measured_degrade(bundle):
    doses = [{"t": 0.01 * n, "treatment": "drug", "amount": 2.0, "unit": "mg"} for n in range(100)]
    answer = _asked(bundle, {"treatments": doses, "query": {"at": [1.5, 2]}})
    assert answer["status"] == "degraded" and "extrapolation" in answer["reasons"]
    told = " ".join(answer["details"])
    assert "changes" in told and "drug in total, distilled on" in told


def test_a_garbled_section_is_refused(bundle, tmp_path):
    from neurotwin.errors import BundleError
    from neurotwin.runtime.channels import Signature

    content = json.loads((bundle / "signature.json").read_text())
    for spoil in ({"share": {}}, {"longest": float("nan")}, {"horizons": []}):
        with pytest.raises(BundleError):
            Signature.of({**content, "distilled": {**content["distilled"], **spoil}})


def test_a_damaged_teacher_is_told(copied, tmp_path):
    path = copied / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError):
        quick(copied, tmp_path / "out")
