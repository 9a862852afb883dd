"""The GPU benchmark on the CPU: its parts run, its goals are read off its rows, and without a GPU it says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("torchdiffeq")

from benchmarks.gpu import measures, run

RUN = Path(run.__file__)
ON_CPU = ("torchdiffeq rk4", "torchdiffeq dopri5", "neurotwin torch")


def test_a_training_step_and_its_goals():
    rows = measures.training_steps("cpu", "tiny", 1, ON_CPU)
    assert [row["route"] for row in rows] == list(ON_CPU) and all(row["ms"] > 0 for row in rows)
    assert rows[2]["gradient"] < 1e-5
    mine = rows[2] | {"size": "M", "route": "neurotwin triton", "times_rk4": 12.0, "times_dopri5": 40.0}
    goals = {one["name"]: one for one in run.goals_of([*rows, mine])}
    assert goals["neurotwin triton over torchdiffeq rk4, training step, M"]["measured"] == 12.0
    missed = goals["neurotwin triton over torchdiffeq dopri5, training step, M"]
    assert missed["measured"] == 40.0 and missed["cause"].startswith("not explained")
    assert goals["neurotwin cuda_graph over torchdiffeq rk4, training step, M"]["measured"] is None
    assert "training step" in run.tables(rows)[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_route_that_fails_leaves_the_others():
    rows = measures.training_steps("cpu", "tiny", 1, ("torchdiffeq rk4", "neurotwin cuda_graph"))
    assert "no CUDA device" in rows[0]["failed"] and rows[1]["ms"] > 0


def test_a_run_learns_the_same_by_every_route():
    rows = measures.training_runs("cpu", "tiny", 3, 1, ("torchdiffeq rk4", "neurotwin torch"))
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4) and rows[1]["first_ms"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_goals_are_not_measured(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("# x\n<!-- results:begin -->\n<!-- results:end -->\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "--folder", str(tmp_path)])
    assert run.main() == 0
    content = json.loads((tmp_path / "results.json").read_text())
    assert not content["rows"] and len(content["goals"]) == 4
    assert all(one["measured"] is None and "no CUDA device" in one["cause"] for one in content["goals"])
    assert "not measured: no CUDA device" in (tmp_path / "README.md").read_text()
    monkeypatch.setattr(sys, "argv", ["run.py", "--require-gpu"])
    assert run.main() == 2 and "not measured" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: no CUDA device")
def test_on_a_gpu_it_runs():
    done = subprocess.run(
        [sys.executable, str(RUN), "--quick", "--require-gpu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
