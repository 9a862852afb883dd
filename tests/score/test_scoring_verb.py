"""neurotwin score, as a person runs it."""

import json
import os
import subprocess
import sys

import pytest
from toy_bundles import BUNDLES, make_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """30 subjects on disk."""
    folder = tmp_path_factory.mktemp("verb") / "cohort"
    make_cohort(30).save(folder)
    return folder


def run(*words):
    """Exit code, and the lines on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "neurotwin", "score", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_a_run_and_the_same_again(cohort, tmp_path):
    asked = (BUNDLES / "toy_gru@0.1.0", cohort, "-o", tmp_path / "out", "--workers", 1, "--after", "1,2 wk")
    code, told = run(*asked)
    assert code == 0 and told[0].startswith(f"30 subjects in {tmp_path / 'out'}: ") and told[-1].startswith("next: ")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["complete"] and manifest["job"]["after"] == [7.0, 14.0]
    code, told = run(*asked)
    assert code == 0 and told[1] == "all of them had been scored before"


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (("--plan", "nothing.json"), 2, "NT-2700 no such file"),
        (("--engine", "ray", "--address", "127.0.0.1:1"), 4, "NT-4000 no Ray cluster can be reached"),
    ],
)
def test_faults_are_one_line(more, code, told, cohort, tmp_path):
    if "ray" in more:
        pytest.importorskip("ray")
    found, lines = run(BUNDLES / "toy_gru@0.1.0", cohort, "-o", tmp_path / "out", *more)
    assert found == code and len(lines) == 1 and lines[0].startswith(told)
