"""Search spaces: what the command line and the files say, what is refused, and experiments written back."""

import pytest
import yaml

from neurotwin import compose
from neurotwin.errors import ConfigError
from neurotwin.overrides import Swept, experiment_file, split
from neurotwin.paths import conf_dir
from neurotwin.sweep import engines
from neurotwin.sweep.settings import check_trials, read_settings

SEARCHES = sorted(path.stem for path in (conf_dir() / "hparams_search").glob("*.yaml"))
ONE = "optimizer.lr=1e-3,1e-2"


def refused(*words):
    with pytest.raises(ConfigError) as caught:
        check_trials(read_settings(words))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=tag(log, interval(1e-4,1e-2))", Swept("a", low=1e-4, high=1e-2, log=True)),
        ("a=int(interval(1,9))", Swept("a", low=1, high=9)),
        ("a=range(8,65,8)", Swept("a", low=8, high=64, step=8)),
        ("a=range(0,1,0.25)", Swept("a", low=0.0, high=0.75, step=0.25)),
        ("a=choice(32,64)", Swept("a", choices=(32, 64))),
        ("a=true,false", Swept("a", choices=(True, False))),
        ("x@y.x=rk4,heun", Swept("x@y.x", choices=("rk4", "heun"))),
        ("+a='b, c',d", Swept("+a", choices=("'b, c'", "d"))),
    ],
)
def test_each_way_to_say_what_is_searched(text, found):
    assert split([text, "b=3"]) == (["b=3"], [found])


def test_values_go_back_into_overrides_as_they_came():
    _, (flag, quoted, rate) = split(["a=true,false", "b='x, y',z", "c=interval(0,1)"])
    assert [flag.override(True), quoted.override("'x, y'"), rate.override(1e-05)] == ["a=true", "b='x, y'", "c=1e-05"]
    assert split([rate.override(1e-05)])[0] == ["c=1e-05"]


@pytest.mark.parametrize(
    "text", ["a=glob(*)", "a=interval(2,1)", "a=tag(log,interval(0,1))", "a=range(3,3)", "a b=1,2", "=1,2"]
)
def test_what_cannot_be_searched_is_refused(text):
    with pytest.raises(ConfigError):
        split([text])


def test_spaces_as_optuna_says_them():
    kinds = [engines.distribution(item) for item in split(["a=range(8,65,8)", "b=interval(0,1)", "c=x,y"])[1]]
    assert [type(item).__name__ for item in kinds] == [
        "IntDistribution",
        "FloatDistribution",
        "CategoricalDistribution",
    ]
    assert (kinds[0].low, kinds[0].high, kinds[0].step) == (8, 64, 8)
    assert engines.values(split(["a=range(0,1,0.25)"])[1][0]) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("name", SEARCHES)
def test_each_search_of_the_package_composes(name):
    more = [ONE, "data.cohort=somewhere"] if name == "default" else []
    settings = read_settings([f"hparams_search={name}", *more])
    assert check_trials(settings)["paths"]["output_dir"] == "trial"
    assert settings.wanted() == 50 and (name == "default" or settings.name == name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hparams_search=lung_tumor"], "did you mean lung_tumour?"),
        (["optimizer.lr=1"], "nothing is searched"),
        ([ONE, "hparams_search.sampler=tp"], "expected tpe | random | grid | nsga2"),
        ([ONE, "+hparams_search.options.tpe.n_startup=3"], "did you mean n_startup_trials?"),
        ([ONE, "hparams_search.options.tpe.n_ei=3"], "unknown key"),
        ([ONE, "hparams_search.trials=0"], "a positive number"),
        ([ONE, "hparams_search.trials=null"], "trials is missing"),
        ([ONE, "hparams_search.seeds=[1,1]"], "different whole numbers"),
        ([ONE, "hparams_search.name=a/b"], "letters, digits"),
        ([ONE, "hparams_search.objectives.validation_loss=maximize"], "expected minimize"),
        ([ONE, "+hparams_search.objectives.latency=minimize"], "hparams_search.pruner=null"),
        ([ONE, "data.cohort=x", "loss.absolute=1,2"], "cannot be compared by their loss"),
        ([ONE, "optimizer.lr=3,4"], "twice"),
        (["seed=1,2", "hparams_search.seeds=[1,2]"], "seed cannot be searched"),
        (["data.cohort=x", "optimizer.lr=interval(0,1)", "hparams_search.sampler=grid"], "no end of values"),
        (["data.cohort=x", "optimizer.lrr=1,2"], "did you mean optimizer.lr?"),
        (["data.cohort=x", "model=gru,neural_odd"], "did you mean neural_ode?"),
        ([ONE], "data.cohort is missing"),
        ([ONE, "data.cohort=x", "logger=tensorboard"], "metrics.csv"),
    ],
)
def test_each_fault_is_one_line(words, said):
    assert said in refused(*words)


def test_the_command_line_goes_before_the_file():
    settings = read_settings(["hparams_search=lung_tumour", "optimizer.lr=1e-3", "model.hidden=4,8"], trials=3)
    found = {item.key: item for item in settings.space}
    assert "optimizer.lr" not in found and found["model.hidden"].choices == (4, 8) and settings.trials == 3
    assert settings.overrides == ("experiment=lung_tumour", "optimizer.lr=1e-3")


def test_a_search_of_ones_own(tmp_path):
    (tmp_path / "hparams_search").mkdir()
    mine = "defaults:\n  - default\n  - _self_\nname: mine\ntrials: 4\nsearch:\n  optimizer.lr: interval(0.1, 0.2)\n"
    (tmp_path / "hparams_search/mine.yaml").write_text(mine)
    where = f"hydra.searchpath=[file://{tmp_path}]"
    settings = read_settings(["hparams_search=mine", where, "data.cohort=x"])
    assert (settings.name, settings.wanted(), settings.sampler) == ("mine", 4, "tpe")
    assert check_trials(settings)["optimizer"]["lr"] == 0.1


def test_a_grid_is_every_point_in_order():
    words = ["optimizer.lr=1e-3,1e-2", "seed=1,2,3", "hparams_search.sampler=grid", "hparams_search.trials=null"]
    settings = read_settings(words)
    assert settings.wanted() == 6
    assert settings.grid()[1] == {"optimizer.lr": 1e-3, "seed": 2}


def test_an_experiment_file_composes_to_what_its_overrides_do(tmp_path):
    overrides = [
        "experiment=lung_tumour",
        "model=gru",
        "optimizer.lr=1e-05",
        "solver@model.solver=rk4",
        "logger=[csv,tensorboard]",
        "~scheduler",
        "+trainer.benchmark=false",
        "callbacks.early_stopping=null",
        "paths.output_dir=x",
    ]
    text, left = experiment_file([*overrides, "hydra.run.dir=y", "~callbacks.progress"], ["why"])
    assert left == ["hydra.run.dir=y", "~callbacks.progress"] and text.startswith("# @package _global_\n# why\n")
    path = tmp_path / "of mine.yaml"
    path.write_text(text)
    assert compose.compose("train", [f"experiment={path}"]) == compose.compose("train", overrides)
    # One that starts from a file.
    inner = tmp_path / "inner.yaml"
    inner.write_text(experiment_file([f"experiment={path}", "model=neural_ode", "seed=5"], [])[0])
    changed = [item for item in overrides if item != "model=gru"]
    assert compose.compose("train", [f"experiment={inner}"]) == compose.compose("train", [*changed, "seed=5"])
    assert yaml.safe_load(inner.read_text())["seed"] == 5


def test_an_experiment_file_that_is_not_there():
    with pytest.raises(ConfigError, match="no such experiment file"):
        compose.compose("train", ["experiment=nowhere/best.yaml"])
