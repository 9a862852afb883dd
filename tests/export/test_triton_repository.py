"""The model repository: a configuration that Triton's own message parses, and graphs that are the bundle's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from neurotwin.bundle import Bundle
from neurotwin.errors import ConfigError
from neurotwin.export import write_repository

BUNDLE = Path(__file__).parents[2] / "checkpoints" / "lung_tumour@0.1.0"
MODELS = {"lung_tumour_assimilate": "assimilate.onnx", "lung_tumour_forecast": "forecast.onnx"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The released tumour bundle's."""
    folder = tmp_path_factory.mktemp("triton") / "models"
    write_repository(Bundle.load(BUNDLE), folder)
    return folder


def test_graphs_are_the_bundles_own(repository):
    assert sorted(one.name for one in repository.iterdir() if one.is_dir()) == sorted(MODELS)
    for name, file in MODELS.items():
        assert (repository / name / "1" / "model.onnx").read_bytes() == (BUNDLE / file).read_bytes()
        assert sorted(one.name for one in (repository / name).iterdir()) == ["1", "config.pbtxt"]


@pytest.mark.parametrize("name", MODELS)
def test_the_configuration_is_what_the_graph_takes(repository, name):
    text_format = pytest.importorskip("google.protobuf.text_format")
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    text = (repository / name / "config.pbtxt").read_text()
    told = text_format.Parse(text, messages.ModelConfig())  # an unknown field or a bad value raises
    assert (told.name, told.platform, told.max_batch_size) == (name, "onnxruntime_onnx", 0)
    session = ort.InferenceSession((BUNDLE / MODELS[name]).read_bytes())
    for tensors, entries in ((session.get_inputs(), told.input), (session.get_outputs(), told.output)):
        assert [one.name for one in entries] == [one.name for one in tensors]
        for tensor, entry in zip(tensors, entries, strict=True):
            assert messages.DataType.Name(entry.data_type) == "TYPE_FP32" and tensor.type == "tensor(float)"
            assert list(entry.dims) == [size if isinstance(size, int) else -1 for size in tensor.shape]
            assert entry.dims[0] == -1


def test_the_readme_says_that_nothing_abstains_there(repository):
    text = (repository / "README-lung_tumour.md").read_text()
    assert "do not abstain" in text and Bundle.load(BUNDLE).sha256 in text and "signature-lung_tumour.json" in text


def test_rows_of_zeros_change_nothing(repository):
    session = ort.InferenceSession((repository / "lung_tumour_forecast" / "1" / "model.onnx").read_bytes())
    rng = np.random.default_rng(0)
    feeds = {}
    for tensor in session.get_inputs():
        shape = [size if isinstance(size, int) else {0: 1, 1: 3}[axis] for axis, size in enumerate(tensor.shape)]
        feeds[tensor.name] = rng.uniform(0, 1, shape).astype(np.float32)
    feeds["query_at"], feeds["peek"] = np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32)
    padded = {
        name: values if name == "state" else np.pad(values, [(0, 0), (0, 2), *[(0, 0)] * (values.ndim - 2)])
        for name, values in feeds.items()
    }
    for short, long in zip(session.run(None, feeds), session.run(None, padded), strict=True):
        np.testing.assert_allclose(long[:, :3], short, rtol=1e-5)


def test_a_model_that_is_there_is_not_written_over(repository):
    before = sorted(repository.rglob("*"))
    with pytest.raises(ConfigError, match="there already"):
        write_repository(Bundle.load(BUNDLE), repository)
    assert sorted(repository.rglob("*")) == before


def test_the_verb_needs_no_torch(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None; from neurotwin.cli import main; "
        f"sys.argv = ['neurotwin', 'export', {str(BUNDLE)!r}, '--triton', {str(tmp_path / 'models')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "do not abstain" in done.stderr
    assert (tmp_path / "models" / "lung_tumour_forecast" / "config.pbtxt").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [((BUNDLE,), "Missing option --output"), (("nowhere", "--triton", "x"), "no folder for the bundle")],
)
def test_what_the_verb_cannot_do(tmp_path, words, what):
    command = [sys.executable, "-m", "neurotwin", "export", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and what in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_run_is_exported_first(tmp_path, monkeypatch, capsys):
    from neurotwin.verbs import export as verb

    told = []
    monkeypatch.setattr(verb, "_export_run", lambda *given: told.append(given) or BUNDLE)
    verb.export(Path("run"), tmp_path / "b@1.0.0", tmp_path / "models", [Path("other")], variant="latency")
    assert told == [(Path("run"), tmp_path / "b@1.0.0", [Path("other")], {"variant": "latency"})]
    assert sorted(one.name for one in (tmp_path / "models").iterdir() if one.is_dir()) == sorted(MODELS)
    assert "neurotwin predict" in capsys.readouterr().err
