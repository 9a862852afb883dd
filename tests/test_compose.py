"""Composition: one line for each fault, and nothing imported that is not trusted."""

import sys
import time

import pytest

from neurotwin import compose
from neurotwin.errors import ConfigError, SolverError
from neurotwin.solvers import Rk4
from neurotwin.targets import check_targets

GIVEN = ("data.cohort=somewhere", "paths.output_dir=nowhere")
RUN = (
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "torch.load",
    "pandas.read_pickle",
    "numpy.load",
    "torch.hub.load",
    "pathlib.Path.write_text",
    "builtins.open",
    "io.open",
    "urllib.request.urlretrieve",
)
WAYS_ROUND = (
    "neurotwin.models.gru.torch.load",
    "neurotwin.training.run_folder.Path.write_text",
    "torch.nn.functional.torch.hub.load",
    "lightning.pytorch.callbacks.timer.os.system",
    "neurotwin.training.write_checkpoint",
    "neurotwin.data.module.np.load",
    "neurotwin.models",
    "neurotwin.data.CohortData.__init__",
    "torch.nn.Module.load_state_dict",
    "lightning.pytorch.LightningModule.load_from_checkpoint",
    "neurotwin.verbs.demo.run_demo",
    "lightning.pytorch.cli.LightningCLI",
    "",
    None,
    3,
    ["os.system"],
    "neurotwin.models.",
    ".os.system",
)


def refused(*overrides, config="train"):
    with pytest.raises(ConfigError) as caught:
        compose.compose(config, [*GIVEN, *overrides] if config == "train" else overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "trainer.max_epoch=3",
            "unknown key 'trainer.max_epoch'; at conf/train.yaml; did you mean trainer.max_epochs?",
        ),
        ("modle=gru", "did you mean model?"),
        ("model.memroy=3", "did you mean model.memory?"),
        ("qqqq=1", "add it with +qqqq=... if it is meant"),
        ("model=latent_oed", "did you mean latent_ode?"),
        ("solver@model.solver=rk44", "did you mean rk4?"),
        ("experiment=lung_tumor", "did you mean lung_tumour?"),
        ("name=${name}", "name"),
        ("name=${seed} seed=${name}", "Recursive interpolation"),
        ("name=${nothing.there}", "nothing.there"),
        ("seed", "not an override: 'seed'"),
        ("=3", "not an override"),
        ("model.hidden=[1,", "not an override"),
        ("data.cohort=???", "data.cohort is missing; at conf/train.yaml; expected data.cohort=..."),
    ],
)
def test_each_fault_is_one_line_that_says_what_to_do(override, words):
    assert words in refused(*override.split(" "))


def test_a_missing_cohort_is_told_by_its_key():
    with pytest.raises(ConfigError, match=r"data\.cohort is missing"):
        compose.compose("train", ["paths.output_dir=nowhere"])


def test_an_unknown_configuration_is_refused():
    with pytest.raises(ConfigError, match="nothing"):
        compose.compose("nothing")


def test_an_experiment_of_ones_own_is_found(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\ndata:\n  cohort: here\n")
    assert compose.compose("train", ["experiment=mine"], config_dir=tmp_path)["data"]["cohort"] == "here"


@pytest.mark.parametrize("text", ["a: [1, 2", "a: b: c", "\tx: 1", "*x"], ids=["open", "colons", "tab", "alias"])
def test_a_broken_file_of_ones_own_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        compose.compose("train", [*GIVEN, "experiment=mine"], config_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [*RUN, *WAYS_ROUND], ids=str)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_target_outside_the_trusted_classes_is_built(target, depth, monkeypatch):
    def never(*args, **more):
        raise AssertionError("it was called")

    node = {"_target_": target, "_partial_": True}
    for _ in range(depth):
        node = {"_target_": "neurotwin.models.NeuralOde", "_partial_": True, "solver": [node]}
    monkeypatch.setattr("hydra.utils.instantiate", never)
    with pytest.raises(ConfigError, match="target"):
        compose.build(node, "model")


def test_an_untrusted_target_is_not_even_imported(tmp_path, monkeypatch):
    (tmp_path / "canary_module.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('sung').touch()\ndef sing(): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="not trusted"):
        compose.build({"_target_": "canary_module.sing"}, "model")
    assert not (tmp_path / "sung").exists() and "canary_module" not in sys.modules


def test_a_package_of_ones_own_is_let_in_by_name(tmp_path, monkeypatch):
    (tmp_path / "own_package.py").write_text("def make(size: int): return [0] * size\n")
    monkeypatch.syspath_prepend(tmp_path)
    node = {"_target_": "own_package.make", "size": 3}
    with pytest.raises(ConfigError, match="NEUROTWIN_TRUST"):
        compose.build(node, "model")
    monkeypatch.setenv("NEUROTWIN_TRUST", "other, own_package")
    assert compose.build(node, "model") == [0, 0, 0]
    with pytest.raises(ConfigError, match="size is 'abc'; at model.size; expected int"):
        compose.build({**node, "size": "abc"}, "model")
    with pytest.raises(ConfigError, match="not trusted"):
        compose.build({"_target_": "os.system", "command": "true"}, "model")


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "x${seed}", "${now:%Y}"])
def test_what_would_be_resolved_on_this_machine_is_refused(value):
    with pytest.raises(ConfigError, match="would be resolved here"):
        compose.build({"_target_": "neurotwin.data.CohortData", "cohort": value}, "data")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            {"_target_": "neurotwin.data.CohortData", "cohort": "a", "batch_size": "abc"},
            "batch_size is 'abc'; at data.batch_size; expected int",
        ),
        ({"_target_": "neurotwin.data.CohortData", "cohort": "a", "batch_size": 2.5}, "batch_size is 2.5"),
        ({"_target_": "neurotwin.data.CohortData", "cohort": 3}, "cohort is 3"),
        ({"_target_": "neurotwin.data.CohortData", "cohort": "a", "max_horizon": "far"}, "max_horizon is 'far'"),
        (
            {"_target_": "neurotwin.models.NeuralOde", "_partial_": True, "use_clock": "maybe"},
            "use_clock is 'maybe'; at data.use_clock; expected bool",
        ),
        ({"_target_": "neurotwin.models.NeuralOde", "_partial_": True, "memory": True}, "memory is True"),
        (
            {"_target_": "neurotwin.models.NeuralOde", "_partial_": True, "solver": "rk4"},
            "solver is 'rk4'; at data.solver; expected Solver",
        ),
        ({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": "abc"}, "lr is 'abc'"),
        ({"_target_": "lightning.pytorch.Trainer", "_partial_": True, "max_epochs": "abc"}, "max_epochs is 'abc'"),
        ({"_target_": "neurotwin.models.Nothing"}, "no target 'neurotwin.models.Nothing'"),
        ({"_target_": "neurotwin.solvers.Rk4", "step": 3}, "unexpected keyword argument 'step'"),
        ({"_target_": "neurotwin.data.CohortData"}, "missing 1 required positional argument: 'cohort'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_by_their_key(node, words):
    with pytest.raises(ConfigError) as caught:
        compose.build(node, "data")
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1, 2.5, 1e-3])
def test_a_whole_number_is_a_number(value):
    assert compose.build({"_target_": "neurotwin.solvers.Rk4", "max_step": value}, "solver").max_step == value


def test_errors_of_a_constructor_keep_their_kind():
    with pytest.raises(SolverError, match="max_step is -1"):
        compose.build({"_target_": "neurotwin.solvers.Rk4", "max_step": -1.0}, "solver")
    assert isinstance(compose.build({"_target_": "neurotwin.solvers.Rk4", "max_step": 1.0}, "solver"), Rk4)


def test_call_turns_what_a_factory_refuses_into_one_line():
    def refuse(size):
        raise ValueError(f"size is {size}\nand more")

    with pytest.raises(ConfigError, match=r"^NT-2100 size is 3; at model$"):
        compose.call(refuse, "model", 3)

    def exhausted():
        raise MemoryError

    with pytest.raises(MemoryError):
        compose.call(exhausted, "model")


def test_a_bomb_of_nested_data_is_refused_quickly():
    node = {"_target_": "os.system"}
    for _ in range(300):
        node = {"deeper": [node]}
    began = time.perf_counter()
    with pytest.raises(ConfigError, match="not trusted"):
        check_targets(node, "model")
    assert time.perf_counter() - began < 2
