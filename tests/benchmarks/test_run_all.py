"""All benchmarks at once: what counts as worse than committed, and that no benchmark of speed is forgotten."""

import json

import pytest

pytest.importorskip("matplotlib")

from benchmarks import page, run_all
from benchmarks.compare import FAILED, HELD, LEFT, better, bound_of, failed, judge, plain, table
from benchmarks.suite import ACCURACY, BENCHMARKS, Benchmark


def one(measured, asked=2.0, direction=page.LARGER, name="speed"):
    return page.goal(name, asked, direction, measured, "times")


def state(committed, quick, full_only=None):
    (verdict,) = judge("made up", [committed], [quick], full_only or {})
    return verdict.state


@pytest.mark.parametrize(
    ("committed", "bound"),
    [
        (one(3.0), 2.0 * 0.85),  # met: the goal with its slack
        (one(1.0), 0.85),  # missed: the committed figure with the same
        (one(1.0, direction=page.SMALLER), 2.0 / 0.85),
        (one(4.0, direction=page.SMALLER), 4.0 / 0.85),
        (one(None), None),
        (one(-1.0, -2.0, page.SMALLER), -1.0 / 0.85 * 0.85**2),  # missed, below 0: looser is nearer to 0
        (one(-3.0, -2.0, page.SMALLER), -2.0 * 0.85),
        (one(0.01, 0.0), 0.0),
    ],
)
def test_the_bound(committed, bound):
    assert bound_of(committed) == (None if bound is None else pytest.approx(bound))


@pytest.mark.parametrize(
    ("committed", "quick", "expected"),
    [
        (one(3.0), 1.71, HELD),
        (one(3.0), 1.69, FAILED),
        (one(1.0), 0.86, HELD),
        (one(1.0), 0.84, FAILED),
        (one(1.0, direction=page.SMALLER), 2.35, HELD),
        (one(1.0, direction=page.SMALLER), 2.36, FAILED),
        (one(4.0, direction=page.SMALLER), 4.7, HELD),
        (one(4.0, direction=page.SMALLER), 4.8, FAILED),
        (one(None), 0.0, LEFT),
        (one(3.0), None, LEFT),
    ],
)
def test_a_goal_is_judged(committed, quick, expected):
    assert state(committed, committed | {"measured": quick}) == expected


def test_a_goal_that_is_not_told_has_failed_unless_excused():
    assert state(one(3.0), one(3.0, name="another")) == FAILED
    assert state(one(3.0), one(3.0, name="another"), {"spee": "too large"}) == LEFT
    assert state(one(3.0), one(0.1), {"spee": "too large"}) == LEFT


def test_a_name_may_tell_of_the_machine():
    assert plain("over the floor (C++, 512 bits), twice") == "over the floor, twice"
    assert state(one(3.0, name="floor (512 bits)"), one(1.0, name="floor (256 bits)")) == FAILED


def test_what_fails_once_is_asked_again():
    goals = [one(3.0), one(3.0, name="other")]
    bad, half = ([one(1.0), one(1.0, name="other")], [one(3.0), one(1.0, name="other")])
    both = better(judge("b", goals, bad, {}), judge("b", goals, half, {}))
    assert [verdict.state for verdict in both] == [HELD, FAILED]
    assert [verdict.name for verdict in failed(both)] == ["other"]
    assert "| b | other | >= 2 | 3 | >= 1.7 | 1 | FAILED |" in table(both)


def script(tmp_path, monkeypatch, text, measured=3.0):
    """A benchmark of its own, which is the only one."""
    folder = tmp_path / "benchmarks" / "mine"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"goals": [one(measured)]}))
    (folder / "run.py").write_text(text)
    monkeypatch.setattr(run_all, "ROOT", tmp_path)
    monkeypatch.setattr(run_all, "BENCHMARKS", (Benchmark("mine", ("benchmarks/mine/run.py",), 1),))


WRITES = """
import json, pathlib, sys
file = pathlib.Path("count")
turn = int(file.read_text()) if file.exists() else 0
file.write_text(str(turn + 1))
assert sys.argv[1:3] == ["--quick", "--json"]
goal = {{"name": "speed", "goal": 2.0, "direction": ">=", "measured": {values}[turn], "unit": "", "cause": ""}}
pathlib.Path(sys.argv[3]).write_text(json.dumps({{"goals": [goal]}}))
"""


@pytest.mark.parametrize(("values", "code", "runs"), [([2.0], 0, 1), ([1.0, 2.0], 0, 2), ([1.0, 1.5], 1, 2)])
def test_a_quick_run(tmp_path, monkeypatch, capsys, values, code, runs):
    script(tmp_path, monkeypatch, WRITES.format(values=values))
    assert run_all.main(["--quick"]) == code
    assert (tmp_path / "count").read_text() == str(runs)
    told = capsys.readouterr().out
    assert ("\nFailed:\n" in told) == bool(code) and "1 goals judged" in told


def test_a_benchmark_that_breaks_has_failed(tmp_path, monkeypatch, capsys):
    script(tmp_path, monkeypatch, "raise SystemExit('no such thing')")
    assert run_all.main(["--quick"]) == 1
    assert "exit code 1: no such thing" in capsys.readouterr().out


def test_nothing_judged_is_no_success(tmp_path, monkeypatch):
    script(tmp_path, monkeypatch, WRITES.format(values=[None]))
    assert run_all.main(["--quick"]) == 1


def test_every_benchmark_is_known():
    folders = {path.parent.name for path in (run_all.ROOT / "benchmarks").glob("*/results.json")}
    listed = [benchmark.name for benchmark in BENCHMARKS]
    assert sorted([*listed, *ACCURACY]) == sorted(folders)
    for benchmark in BENCHMARKS:
        names = [plain(goal["name"]) for goal in run_all.committed(benchmark)]
        assert names and len(set(names)) == len(names)
        assert all(any(part in name for name in names) for part in benchmark.full_only), benchmark.name


def test_the_page_of_all_says_how_long_each_takes(capsys):
    text = (run_all.ROOT / "docs" / "performance.md").read_text()
    for benchmark in BENCHMARKS:
        row = next(line for line in text.splitlines() if f"(../benchmarks/{benchmark.name}/README.md)" in line)
        assert row.endswith(f"| {benchmark.minutes} |"), row
    assert run_all.main(["--list", "--only", "onnx"]) == 0
    told = capsys.readouterr().out
    assert "benchmarks/onnx/run.py" in told and "train_step" not in told
