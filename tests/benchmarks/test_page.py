"""The page writer of benchmarks: what is missed keeps its cause, and the README holds what results.json says."""

import json

from benchmarks import page


def test_a_goal_that_is_met_needs_no_cause():
    assert page.goal("speed", 2.0, page.LARGER, 2.5, cause="tired")["cause"] == ""
    assert page.goal("speed", 2.0, page.LARGER, 1.5, cause="tired")["cause"] == "tired"
    assert page.goal("error", 2.0, page.SMALLER, 1.5, cause="tired")["cause"] == ""
    assert page.goal("error", 2.0, page.SMALLER, None, cause="tired")["cause"] == "tired"


def test_the_page_is_written_between_its_marks(tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nLast words.\n")
    rows = [{"route": "one", "ms": 1234.5}, {"route": "two", "ms": None}]
    goals = [page.goal("speed", 2.0, page.LARGER, 1.5, "times", "tired")]
    content = page.results("python run.py", ("numpy", "no-such-package"), rows, goals)
    page.write(tmp_path, content, [page.table({"route": "route", "ms": "CPU ms"}, rows)])
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Title\n") and text.endswith("\n\nLast words.\n") and "old" not in text
    assert "| route | CPU ms |\n| --- | ---: |\n| one | 1234 |\n| two | - |" in text
    assert "| speed | >= 2 times | 1.5 | no: tired |" in text
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["rows"] == rows and set(kept["versions"]) == {"neurotwin", "python", "numpy"}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["README.md", "results.json"]
