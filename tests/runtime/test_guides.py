"""The guides: their code runs, and their table of reasons is whole."""

import re
from pathlib import Path

import pytest

from neurotwin.runtime import INPUT_FAULTS, Reason

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["predict.md", "bundle.md"])
def test_the_code_runs(node_bundle, monkeypatch, capsys, name):
    monkeypatch.chdir(node_bundle.parent)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
        exec(block, names)
    if name == "predict.md":
        assert names["answer"]["status"] == "ok" and names["comparison"]["differences"]
        assert "volume" in capsys.readouterr().out
        assert names["twin"].past.clock == 44


def test_the_table_of_reasons():
    rows = re.findall(r"^\| (`[a-z_`, ]+`)( \*)? \|", (DOCS / "predict.md").read_text(), re.MULTILINE)
    marked = {name: bool(star) for names, star in rows for name in re.findall(r"[a-z_]+", names)}
    assert set(Reason) <= set(marked)
    assert {name for name in set(Reason) if marked[name]} == INPUT_FAULTS
