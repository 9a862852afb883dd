"""The table of docs/reliability.md, made from a junit XML."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
XML = """<testsuites><testsuite>
<testcase classname="tests.fault.test_a" name="test_kill[20]"><properties>
<property name="fault" value="kill -9"/><property name="tried" value="20"/><property name="lost" value="0"/>
</properties></testcase>
<testcase classname="tests.fault.test_a" name="test_kill[2]"><properties>
<property name="fault" value="kill -9"/><property name="tried" value="2"/><property name="lost" value="0"/>
</properties></testcase>
<testcase classname="tests.fault.test_b" name="test_full"><properties>
<property name="fault" value="disk full"/><property name="tried" value="5"/><property name="lost" value="0"/>
</properties><failure message="no">no</failure></testcase>
<testcase classname="tests.fault.test_c" name="test_silent_one"><error message="gone"/></testcase>
<testcase classname="tests.fault.test_d" name="test_of_no_fault"/>
<testcase classname="tests.fault.test_e" name="test_two"><properties>
<property name="fault" value="x"/><property name="tried" value="3"/><property name="lost" value="1"/>
<property name="fault" value="y"/><property name="tried" value="4"/><property name="lost" value="2"/>
</properties></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("write_reliability", ROOT / "scripts" / "write_reliability.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report(tmp_path):
    (tmp_path / "fault.xml").write_text(XML)
    return tmp_path / "fault.xml"


def test_counts_of_a_test_are_summed_and_a_failed_one_has_lost(script, report):
    assert script.rows_of(report) == [
        ("disk full", 5, 1, "tests/fault/test_b.py::test_full"),
        ("kill -9", 22, 0, "tests/fault/test_a.py::test_kill"),
        ("test silent one", 1, 1, "tests/fault/test_c.py::test_silent_one"),
        ("x", 3, 1, "tests/fault/test_e.py::test_two"),
        ("y", 4, 2, "tests/fault/test_e.py::test_two"),
    ]


def test_the_page_keeps_its_words_and_gets_the_table(script, report, tmp_path):
    page = Path(shutil.copy(ROOT / "docs" / "reliability.md", tmp_path / "page.md"))
    before = page.read_text()
    script.main(report, page)
    script.main(report, page)
    after = page.read_text()
    assert after.partition(script.BEGIN)[0] == before.partition(script.BEGIN)[0]
    assert after.count("| kill -9 | 22 | 22 | 0 |") == 1 and "| **all** | **35** | **30** | **5** | |" in after
    assert after.partition(script.END)[2] == before.partition(script.END)[2]
