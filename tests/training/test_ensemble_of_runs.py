"""Several runs of the same data become one source of an export."""

import shutil

import pytest
import torch

from neurotwin.errors import ConfigError, IntegrityError
from neurotwin.models import Ensemble
from neurotwin.recipes import export_source, load_run
from neurotwin.train import main


@pytest.fixture(scope="module")
def another(tmp_path_factory, arguments):
    """A run of another seed and another model."""
    folder = tmp_path_factory.mktemp("another") / "run"
    assert main(arguments(folder, "seed=2", "model.use_clock=false", epochs=1)) == 0
    return folder


def test_runs_become_members(trained, another):
    source = export_source(trained, [another])
    assert isinstance(source.model, Ensemble) and not source.model.training and source.model.n_draws == 8
    for member, folder in zip(source.model.members, (trained, another), strict=True):
        alone, _ = load_run(folder)
        assert all(torch.equal(value, member.state_dict()[name]) for name, value in alone.state_dict().items())
    assert [member["seed"] for member in source.config["members"]] == [1, 2]
    assert len(source.metrics["members"]) == 2


def test_a_run_that_has_not_ended_is_not_exported(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "killed")
    (tmp_path / "killed" / "metrics.json").unlink()
    for folder, others in ((tmp_path / "killed", []), (trained, [tmp_path / "killed"])):
        with pytest.raises(ConfigError, match="the run has not ended"):
            export_source(folder, others)
    (tmp_path / "killed" / "metrics.json").write_text("{")
    with pytest.raises(IntegrityError, match="metrics cannot be read"):
        export_source(tmp_path / "killed")


def test_a_run_of_another_rotation_is_refused(trained, tmp_path, arguments):
    folder = tmp_path / "rotated"
    assert main(arguments(folder, "data.rotation=1", epochs=1)) == 0
    with pytest.raises(ConfigError, match="a member was trained on other data or another rotation"):
        export_source(trained, [folder])
