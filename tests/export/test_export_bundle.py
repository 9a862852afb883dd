"""Export: a bundle that answers as its model does, or an error and nothing on disk."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from filelock import FileLock
from toys import KINDS, OTHERS, source_of, toy_cohort, toy_model

from neurotwin import export as export_package
from neurotwin.bundle import ASSIMILATE, FORECAST, OPERATORS, REQUIRED, Bundle
from neurotwin.errors import BundleError, ConfigError, ParityError, SolverError
from neurotwin.export import Exported, export_bundle
from neurotwin.export.graphs import operators, write_onnx
from neurotwin.export.parity import TOLERANCE, TimelineSource
from neurotwin.solvers import Torchdiffeq
from neurotwin.training import SurrogatePredictor

module = __import__("neurotwin.export.export", fromlist=["export"])
COUNT = 200


@pytest.fixture(scope="module")
def exported(tmp_path_factory, worker_id):
    # Tracing takes long: the workers of pytest-xdist, whose folders are neighbours, share one bundle.
    folder = (
        tmp_path_factory.getbasetemp().parent / "exported"
        if worker_id != "master"
        else tmp_path_factory.mktemp("exported")
    )
    folder.mkdir(exist_ok=True)
    cohort = toy_cohort(50)
    source = source_of(KINDS["neural_ode_heun"](cohort), cohort, folder)
    target = folder / "bundles" / "toy@0.1.0"
    with FileLock(folder / "lock"):
        if not target.exists():
            return source, export_bundle(source, target, timelines=COUNT)
    parity = json.loads((target / "manifest.json").read_text())["parity"]
    return source, Exported(target, parity, {name: (target / name).stat().st_size for name in (ASSIMILATE, FORECAST)})


def test_a_bundle_is_whole_and_loads(exported):
    _, done = exported
    bundle = Bundle.load(done.folder)
    assert (bundle.name, bundle.version) == ("toy", "0.1.0")
    assert set(bundle.manifest["files"]) == {
        *REQUIRED,
        "training/config.yaml",
        "training/metrics.json",
        "training/data_card.json",
        "reference.json",
    }
    assert [item.name for item in done.folder.parent.iterdir()] == ["toy@0.1.0"]


def test_parity_is_within_the_tolerance_and_recorded(exported):
    _, done = exported
    assert set(done.parity) == {"new_state", "support", "mean", "quantiles", "draws", "step_error"}
    assert all(0 <= value <= TOLERANCE for value in done.parity.values()) and max(done.parity.values()) > 0
    assert json.loads((done.folder / "manifest.json").read_text())["parity"] == done.parity


def test_graphs_are_small_and_hold_allowed_operators_only(exported):
    _, done = exported
    for name in (ASSIMILATE, FORECAST):
        graph = onnx.load(done.folder / name)
        found = set(operators(graph))
        assert found <= OPERATORS and "Scan" in found
        assert done.sizes[name] == (done.folder / name).stat().st_size <= 500_000
        assert not any(tensor.external_data for tensor in graph.graph.initializer)


def test_batch_and_row_axes_have_names_and_stay_open(exported):
    _, done = exported
    inputs = {
        item.name: [axis.dim_param or axis.dim_value for axis in item.type.tensor_type.shape.dim]
        for item in onnx.load(done.folder / ASSIMILATE).graph.input
    }
    assert inputs["dt"] == ["batch", "row"] and inputs["value"] == ["batch", "row", 2] and inputs["fresh"] == ["batch"]


def test_no_path_of_this_machine_is_in_any_file(exported):
    _, done = exported
    secrets = {
        str(Path.home()),
        str(Path(__file__).resolve().parents[2]),
        str(done.folder.parent),
        str(Path(torch.__file__).parent),
        "site-packages",
    } - {"/"}
    for file in done.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], file


def test_the_recorded_training_leaves_out_where_it_ran(exported):
    _, done = exported
    config = yaml.safe_load((done.folder / "training" / "config.yaml").read_text())
    assert not {"paths", "logger", "callbacks"} & set(config) and config["data"]["cohort"] == "cohort"


def test_the_runtime_answers_as_the_trained_model_does(exported):
    from neurotwin.episodes import make_episodes
    from neurotwin.evaluation.calibration import calibrated
    from neurotwin.runtime import Predictor

    source, done = exported
    predictor = Predictor.load(done.folder)
    episodes, *_ = make_episodes(source.cohort, 3.0, min_visits=2)
    found, expected = predictor(episodes), SurrogatePredictor(source.model)(episodes)
    np.testing.assert_allclose(found.quantiles, expected.quantiles, rtol=1e-4, atol=1e-4)
    assert calibrated(predictor, predictor.calibration)(episodes).quantiles.shape == found.quantiles.shape


@pytest.mark.full
def test_exporting_twice_gives_the_same_graphs(exported, tmp_path):
    source, done = exported
    again = export_bundle(source, tmp_path / "toy@0.1.0", timelines=COUNT)
    for name in (ASSIMILATE, FORECAST, "signature.json", "golden.json", "calibration.json"):
        assert (again.folder / name).read_bytes() == (done.folder / name).read_bytes()


HISTORY = {"neural_mixed": "float64"}
BARE = {("neural_ode", False, False): []}


@pytest.mark.parametrize(
    ("kind", "treatments", "statics"),
    [
        pytest.param(*one, marks=BARE.get(one, [pytest.mark.full]), id=f"{one[0]}-{one[1]:d}{one[2]:d}")
        for one in [
            ("neural_ode", False, False),
            *(("gru", *rest) for rest in ((False, False), (False, True), (True, False))),
            *((kind, False, False) for kind in OTHERS),
        ]
    ],
)
def test_schemas_without_treatments_or_covariates_export(source, tmp_path, kind, treatments, statics):
    from neurotwin.runtime import Predictor

    done = export_bundle(
        source(kind, treatments=treatments, statics=statics),
        tmp_path / "toy@0.1.0",
        timelines=100,
        history=HISTORY.get(kind, "float32"),
    )
    assert max(done.parity.values()) <= TOLERANCE
    Predictor.load(done.folder)


@pytest.mark.full
@pytest.mark.parametrize("kind", list(OTHERS))
def test_each_model_of_the_family_exports_at_parity(source, tmp_path, kind):
    given = source(kind)
    done = export_bundle(given, tmp_path / "toy@0.1.0", timelines=300, history=HISTORY.get(kind, "float32"))
    assert max(done.parity.values()) <= TOLERANCE
    assert ("step_error" in done.parity) == given.model.has_error


def left(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.fixture
def untraced(exported, monkeypatch):
    """Let the next export take the graphs of the first one instead of tracing them again, which takes long."""

    def write_onnx(traced, example, outputs, path, metadata):
        path.write_bytes((exported[1].folder / path.name).read_bytes())
        return onnx.load(path)

    monkeypatch.setattr(module, "write_onnx", write_onnx)
    return exported[0]


def changed(source, name, change):
    """The source with some weights of its model changed."""
    model = copy.deepcopy(source.model)
    with torch.no_grad():
        change(model.get_parameter(name))
    return dataclasses.replace(source, model=model)


def test_the_stand_in_for_tracing_releases_a_model_that_is_unchanged(untraced, tmp_path):
    assert export_bundle(
        changed(untraced, "field.0.bias", lambda weight: None), tmp_path / "toy@0.1.0", timelines=20
    ).parity


def test_a_graph_that_answers_otherwise_is_not_released(untraced, tmp_path):
    with pytest.raises(ParityError, match="differs by .* of its channel's scale"):
        export_bundle(
            changed(untraced, "field.4.bias", lambda weight: weight.add_(0.01)), tmp_path / "toy@0.1.0", timelines=20
        )
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["noise_scale.4.bias", "field.4.weight"])
def test_a_model_that_answers_nan_is_not_released(untraced, tmp_path, name):
    with pytest.raises((ParityError, ConfigError), match="not finite"):
        export_bundle(
            changed(untraced, name, lambda weight: weight.fill_(torch.nan)), tmp_path / "toy@0.1.0", timelines=20
        )
    assert left(tmp_path) == []


def test_an_operator_outside_the_list_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("neurotwin.export.graphs.OPERATORS", OPERATORS - {"Relu"})
    with pytest.raises(BundleError, match="operators Relu"):
        write_onnx(torch.nn.ReLU(), {"dt": torch.ones(2, 3)}, ["mean"], tmp_path / "a.onnx", {})
    assert left(tmp_path) == []


def test_a_graph_that_is_too_large_is_refused(untraced, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_GRAPH", 1000)
    with pytest.raises(ConfigError, match="bytes"):
        export_bundle(untraced, tmp_path / "toy@0.1.0", timelines=20)
    assert left(tmp_path) == []


def test_an_adaptive_solver_is_refused(source, tmp_path):
    given = source()
    adaptive = dataclasses.replace(given, model=toy_model(given.cohort, solver=Torchdiffeq(1.0)))
    with pytest.raises(SolverError, match="cannot be exported"):
        export_bundle(adaptive, tmp_path / "toy@0.1.0")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["toy", "toy@1", "toy@1.0", "Toy@1.0.0", "toy@1.0.0-rc", "toy @1.0.0", "@1.0.0", "toy@v1.0.0"]
)
def test_a_name_without_a_version_is_refused(source, tmp_path, name):
    with pytest.raises(ConfigError, match="bundle folder"):
        export_bundle(source(), tmp_path / "bundles" / name)
    assert left(tmp_path) == []


def test_an_existing_bundle_is_not_touched(exported):
    source, done = exported
    before = {item: item.read_bytes() for item in done.folder.rglob("*") if item.is_file()}
    with pytest.raises(ConfigError, match="exists already"):
        export_bundle(source, done.folder)
    assert {item: item.read_bytes() for item in done.folder.rglob("*") if item.is_file()} == before


def test_a_place_that_cannot_be_written_is_one_line(exported, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="toy@0.1.0"):
        export_bundle(exported[0], tmp_path / "file" / "toy@0.1.0")


def test_an_interrupted_export_leaves_nothing(untraced, tmp_path, monkeypatch):
    def interrupt(*args, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "golden_cases", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(untraced, tmp_path / "toy@0.1.0", timelines=20)
    assert left(tmp_path) == []


def test_parity_timelines_cover_the_edges(exported):
    source, _ = exported
    questions = TimelineSource(source.cohort.schema, source.scaling, 1.0)
    none = questions.timeline(2, 0, past=True)
    assert not none.mask.any() and none.n_rows >= 1
    one = questions.timeline(64, 1, past=True)
    assert (one.mask[:, 0].any(-1)).any() and one.dt[:, 0].max() == 0
    many = questions.timeline(3, 60, past=False)
    assert many.query.sum() > 100 and many.peek.any() and many.jump.any() and many.control.any()
    assert np.isfinite(many.static).all() and set(np.unique(many.static_mask)) <= {0.0, 1.0}


def test_the_package_says_what_it_offers():
    assert set(export_package.__all__) == {"Exported", "Source", "export_bundle", "write_repository"}
