"""Gate files: what is not understood is refused in one line, whatever it is."""

import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neurotwin.errors import ConfigError
from neurotwin.paths import conf_dir
from neurotwin.registry.gate import Gate, Rules, read_gate

BASE = {
    "schema_version": 1,
    "minimum_patients": 100,
    "accuracy": [{"variable": "*", "metric": "mae", "at_most": 1.5}],
    "coverage": {"at_least": 0.85, "at_most": 0.97},
    "parity": {"at_most": 1e-4},
    "abstention": {"at_most": 0.1},
    "subgroups": {"by": ["sex"], "error_ratio_at_most": 1.5, "coverage_gap_at_most": 0.1},
    "latency": {"p95_ms_at_most": 20},
    "drift": {"verdict_at_most": "watch"},
}
NUMBERS = [
    ("minimum_patients",), ("accuracy", 0, "at_most"), ("coverage", "at_least"), ("coverage", "at_most"),
    ("parity", "at_most"), ("abstention", "at_most"), ("subgroups", "error_ratio_at_most"),
    ("subgroups", "coverage_gap_at_most"), ("latency", "p95_ms_at_most"),
]  # fmt: skip


def parsed(content):
    return Gate.parse(yaml.safe_dump(content).encode(), "gate.yaml")


def changed(place, value):
    content = yaml.safe_load(yaml.safe_dump(BASE))
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content


def test_the_example_is_a_gate_and_says_what_it_asks():
    gate = read_gate(conf_dir() / "gate" / "default.yaml")
    assert gate.rules.minimum_patients == 100 and gate.rules.drift.verdict_at_most == "watch"
    assert len(gate.sha256) == 64 and gate.name == "default.yaml"


def test_every_rule_can_be_given():
    rules = parsed(BASE).rules
    assert rules.subgroups.by == ("sex",) and rules.latency.p95_ms_at_most == 20


@pytest.mark.parametrize("place", NUMBERS, ids=lambda place: ".".join(map(str, place)))
@pytest.mark.parametrize("bad", [math.nan, math.inf, -1, "0.5", True, None, [], {}])
def test_a_number_is_a_number_in_its_range(place, bad):
    if place[-1] == "at_most" and place[0] == "accuracy" and bad is None:
        return  # asked in another way
    with pytest.raises(ConfigError, match=r"gate\.yaml") as told:
        parsed(changed(place, bad))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"null", b"1", b"a: [", b"\xff\xfe", b"a: &x 1\nb: *x", b"!!python/object:os.system {}",
        b"schema_version: 2\nminimum_patients: 100", b"schema_version: 1\nschema_version: 1", b"[" * 100,
    ],
)  # fmt: skip
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(ConfigError, match=r"gate\.yaml"):
        Gate.parse(text, "gate.yaml")


@pytest.mark.parametrize("key", ["coverge", "sub_groups", "accuracy.at_least", "coverage.nan", "drift.at_most"])
def test_an_unknown_rule_is_refused_not_skipped(key):
    *above, name = key.split(".")
    content = yaml.safe_load(yaml.safe_dump(BASE))
    node = content[above[0]] if above else content
    (node[0] if isinstance(node, list) else node)[name] = 1
    with pytest.raises(ConfigError, match="an unknown rule"):
        parsed(content)


@pytest.mark.parametrize(
    "missing", ["schema_version", "minimum_patients", "accuracy", "coverage", "parity", "abstention"]
)
def test_the_rules_that_every_gate_has_cannot_be_left_out(missing):
    with pytest.raises(ConfigError, match=missing):
        parsed({key: value for key, value in BASE.items() if key != missing})


@pytest.mark.parametrize(
    "content",
    [
        changed(("accuracy",), []), changed(("accuracy",), [{"variable": "x"}]),
        changed(("coverage", "at_least"), 0.98),
        changed(("subgroups", "by"), []), changed(("subgroups", "by"), "sex"), changed(("minimum_patients",), 3),
        changed(("accuracy", 0, "metric"), "brier"), changed(("drift", "verdict_at_most"), "alarm"),
    ],
)  # fmt: skip
def test_rules_that_ask_nothing_or_contradict_themselves_are_refused(content):
    with pytest.raises(ConfigError):
        parsed(content)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | PLAIN.map(lambda content: yaml.safe_dump(content).encode()))
@example(yaml.safe_dump(BASE).encode())
def test_anything_is_a_gate_or_one_line(content):
    try:
        assert isinstance(Gate.parse(content, "gate.yaml").rules, Rules)
    except ConfigError as error:
        assert str(error).startswith("NT-2100") and "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(NUMBERS), PLAIN)
def test_one_rule_replaced_by_anything_is_in_range_or_refused(place, value):
    try:
        rules = parsed(changed(place, value)).rules
    except ConfigError as error:
        assert "\n" not in str(error)
        return
    numbers = [rules.coverage.at_least, rules.coverage.at_most, rules.parity.at_most, rules.abstention.at_most]
    assert all(type(one) in (int, float) and math.isfinite(one) and one >= 0 for one in numbers)
    assert rules.minimum_patients >= 20


def test_a_file_that_is_not_there_or_is_too_large(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="no gate file"):
            read_gate(path)
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="no gate file"):
        read_gate(tmp_path / "large.yaml")
