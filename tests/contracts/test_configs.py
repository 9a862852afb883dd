"""Every YAML of the configuration tree composes, and what it names can be built."""

import pytest
import yaml

from neurotwin import compose
from neurotwin.paths import conf_dir
from neurotwin.recipes import data_of, model_factory, recipe_of
from neurotwin.scaling import Scaling
from neurotwin.solvers import Solver
from neurotwin.verbs.trials import design_of

CONF = conf_dir()
GIVEN = ("data.cohort=somewhere", "paths.output_dir=nowhere")
SIMULATION = ("simulator", "population", "protocol", "engine")
APART = ("source", "dataset", "hparams_search", "gate")
"""Groups that are no part of a composed configuration: `neurotwin ingest`, `datasets` and `sweep` read them."""


def choices(group):
    return sorted(path.relative_to(CONF / group).with_suffix("").as_posix() for path in (CONF / group).rglob("*.yaml"))


def all_choices():
    groups = sorted({path.relative_to(CONF).parts[0] for path in CONF.rglob("*.yaml") if path.parent != CONF})
    return [
        pytest.param(group, choice, id=f"{group}={choice}")
        for group in groups
        if group not in APART
        for choice in choices(group)
    ]


MOUNTED = {"solver": "solver@model.solver", "hazards": "+hazards@model.hazards"}


def override(group, choice):
    return f"{MOUNTED.get(group, group)}={choice}"


@pytest.mark.parametrize(("group", "choice"), all_choices())
def test_each_choice_of_each_group_composes_and_builds(group, choice, tmp_path):
    if group in SIMULATION:
        config = compose.compose("simulate", [override(group, choice)])
        assert compose.build(config[group], group) is not None
        return
    if group == "trial":
        design, world, _ = design_of([override(group, choice)])
        assert len(design.arms) == 2 and world.simulator is not None
        return
    config = compose.compose("train", [*GIVEN, override(group, choice)])
    recipe = recipe_of(config)
    assert recipe.output_dir.name == "nowhere" and recipe.seed == config["seed"]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("choice", choices("experiment"))
def test_experiments_may_override_anything_and_still_compose(choice):
    config = compose.compose(
        "train", [*GIVEN, f"experiment={choice}", "trainer.max_epochs=1", "model.solver.max_step=0.5"]
    )
    assert (
        config["trainer"]["max_epochs"] == 1
        and config["model"]["solver"]["max_step"] == 0.5
        and config["name"] == choice
    )


OF_ITS_MECHANISM = {"hybrid_ode"}
"""Built from the channels of a mechanism only: tests/models/test_hybrid_ode.py."""


@pytest.mark.parametrize("choice", sorted(set(choices("model")) - OF_ITS_MECHANISM))
def test_each_model_is_built_from_a_schema(choice):
    from toys import toy_cohort

    cohort = toy_cohort(20)
    model = model_factory(compose.compose("train", [*GIVEN, f"model={choice}"]))(cohort.schema, Scaling.fit(cohort))
    assert model.n_obs == 2 and model.n_control == 2 and isinstance(model.solver, Solver)


@pytest.mark.parametrize("choice", choices("solver"))
def test_each_solver_is_built_with_its_step(choice):
    found = compose.build(
        compose.compose("train", [*GIVEN, f"solver@model.solver={choice}", "model.solver.max_step=0.25"])["model"][
            "solver"
        ],
        "solver",
    )
    assert isinstance(found, Solver) and found.max_step == 0.25


@pytest.mark.parametrize("choice", choices("source"))
def test_each_source_is_readable(choice):
    content = yaml.safe_load((CONF / "source" / f"{choice}.yaml").read_text())
    assert content["name"] == choice and content["variables"] and content["tables"]


@pytest.mark.parametrize("choice", choices("dataset"))
def test_each_data_set_has_its_mapping_and_its_experiment(choice):
    content = yaml.safe_load((CONF / "dataset" / f"{choice}.yaml").read_text())
    assert content["name"] == choice and content["mapping"] in choices("source")
    experiment = (CONF / "experiment" / f"{content['experiment']}.yaml").read_text()
    cohort = yaml.safe_load(experiment)["data"]["cohort"]
    command = f"neurotwin ingest csv dataset:{choice} --mapping {content['mapping']} -o {cohort}"
    assert f"# Cohort: {command}\n" in experiment


def test_the_data_section_is_built_without_touching_the_disk():
    assert data_of(compose.compose("train", [*GIVEN, "data.batch_size=7"])).how["batch_size"] == 7


def test_every_yaml_says_something_and_no_tab():
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        assert yaml.safe_load(text) is not None and "\t" not in text, path
