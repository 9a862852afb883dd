"""The page of the report: it says what the JSON says, holds nothing of a single patient, and nothing from outside."""

import copy
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from ingest_cases import LONG_HEADER, VISITS_HEADER

from neurotwin.cohort import Cohort
from neurotwin.events import Doses, Observations
from neurotwin.ingest import flags
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.page import PAGE_NAME, SECTIONS, render_page
from neurotwin.ingest.page import words as page_words
from neurotwin.ingest.page.words import between, duration
from neurotwin.ingest.report import REPORT_NAME
from neurotwin.ingest.survey import EDGES, FEWEST, PERIOD_NAMES, Survey
from neurotwin.schema import Schema, Variable

SCHEMA = Schema(
    name="s", time_unit="d", variables=(Variable(name="always", unit="1"), Variable(name="seldom", unit="1"))
)
DAY = 86_400.0
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Collects text, ids and table cells, and checks that every element is closed."""

    def __init__(self, content):
        super().__init__()
        self.stack, self.ids, self.text, self.tags = [], [], "", []
        self.feed(content)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "br", "wbr"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def survey_of(*cohorts):
    survey = Survey(SCHEMA)
    for cohort in cohorts:
        survey.add(cohort)
    return survey.as_dict()


def cohort_of(subjects, having, times=(0, 1, 2, 400)):
    """``always`` at every time, ``seldom`` at the first two, in the first ``having`` subjects."""
    subject, time = (one.ravel() for one in np.meshgrid(range(subjects), times, indexing="ij"))
    some = (subject < having) & (time <= times[1])
    tables = [Observations.of(subject, time, 0, 1.0), Observations.of(subject[some], time[some], 1, 2.0)]
    ids = [f"s{number}" for number in range(subjects)]
    fold = [number % 5 for number in range(subjects)]
    return Cohort.build(
        SCHEMA, ids, np.zeros((subjects, 0)), Observations.concatenate(*tables), Doses.of(), split_key="s", fold=fold
    )


@pytest.fixture
def report(ingest, long):
    """A report with rejections, conversions, a flag, and values that are easily recognised."""
    lines = []
    for subject in range(40):
        for day in range(6):
            lines.append(f"canary{subject},{day},GLU,5.{4321 + subject},mmol/L\n")
            lines.append(f"canary{subject},{day},TEMP,36.{98761 + subject},Cel\n")
        lines.append(f"canary{subject},6,GLU,much,mg/dL\ncanary{subject},7,GLU,90.1234,\n")
    long["about"] = {"title": f"Labs {EVIL}", "source": "nowhere", "licence": "none"}
    long["variables"][0]["source"] = EVIL
    ingest("".join([LONG_HEADER, *lines, "ragged\n"]), long, name="labs & co.csv")
    return json.loads((ingest.output / REPORT_NAME).read_text())


def test_page_stands_beside_the_report_and_follows_from_it(report, ingest):
    page = (ingest.output / PAGE_NAME).read_text()
    assert page == render_page(report)
    assert report == json.loads(json.dumps(ingest.report.as_dict()))


def test_page_is_well_formed_and_self_contained(report):
    content = render_page(report)
    page = Page(content)
    assert len(page.ids) == len(set(page.ids)) and {one for one, _, _ in SECTIONS} <= set(page.ids)
    assert not {"script", "img", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r'(src|href)="(?!#)', content) and "url(" not in content and "@import" not in content
    assert "Content-Security-Policy\" content=\"default-src 'none'" in content
    assert "<script" not in content and "&lt;script&gt;" in content
    assert "prefers-color-scheme: dark" in content and "not a medical device" in content


def test_page_holds_the_numbers(report):
    text = Page(render_page(report)).text
    read = 40 * 6 * 2 + 40 * 2 + 1
    for words in (
        "labs & co.csv",
        f"{read:,}",
        "value_not_a_number40the value is not a number",
        "unit_missing40no unit is declared or given",
        "field_count1the row has more or fewer fields than the header",
        "glucosemmol/Lmg/dL240",
        "temperatureCel25 to 45",
        "volumemLanythingnot stated",
        "40 subjects in the cohort",
        "glucose: 200 intervals",
    ):
        assert words in text, words


def test_no_value_and_no_id_of_a_subject(report, ingest):
    for name in (PAGE_NAME, REPORT_NAME):
        content = (ingest.output / name).read_text()
        for number in (4321, 4360, 98761, 98800):
            assert str(number) not in content
        assert "canary" not in content and "90.1234" not in content and "much" not in content


def test_files_beyond_the_first_share_a_row(report):
    many = copy.deepcopy(report)
    one = many["files"][0]
    many["files"] = [{**one, "path": f"file{number}.csv"} for number in range(50)]
    text = Page(render_page(many)).text
    assert "10 other files" in text and "file39.csv" in text and "file40.csv" not in text
    assert "all files together" in text


def test_a_clean_ingest_says_so(ingest, visits):
    ingest(VISITS_HEADER + "a,0,90,70,,,,,61,F\n", visits)
    text = Page((ingest.output / PAGE_NAME).read_text()).text
    for words in ("Nothing was flagged", "No row was rejected", "No unit was converted", "too few subjects"):
        assert words in text


def test_every_reason_and_flag_has_words(report):
    assert set(page_words.REASONS) == set(Reason)
    named = {value for name, value in vars(flags).items() if name.isupper() and isinstance(value, str)}
    assert set(page_words.FLAGS) == named
    report["flags"] = [{"what": what, "share": 0.5, "variables": ["glucose"]} for what in page_words.FLAGS]
    text = Page(render_page(report)).text
    assert all(words in text for words in page_words.FLAGS.values())


def test_missingness_by_time_and_fold():
    found = survey_of(cohort_of(60, 60), cohort_of(40, 0))
    assert found["folds"] == [20] * 5
    missing = found["missingness"]
    assert missing["periods"] == ["at 0", "to 1 d", "to 3 d", "to 2 a"] and missing["subjects"] == [100] * 4
    assert missing["by_period"] == {"always": [1.0] * 4, "seldom": [0.6, 0.6, 0.0, 0.0]}
    assert missing["by_fold"] == {"always": [1.0] * 5, "seldom": [0.6] * 5}
    assert sorted(set(missing["periods"]), key=PERIOD_NAMES.index) == missing["periods"]


def test_nothing_is_told_of_few_subjects():
    found = survey_of(cohort_of(100, FEWEST - 1))
    assert found["missingness"]["by_period"]["seldom"] == [None, None, 0.0, 0.0]
    assert found["missingness"]["by_fold"]["seldom"] == [None] * 5
    assert found["intervals"]["by_name"]["seldom"] == {
        "measurements": 18, "intervals": 9, "untold": 9, "median": None, "bins": {},
    }  # fmt: skip
    few = survey_of(cohort_of(FEWEST - 1, 5))
    assert few["missingness"]["subjects"] == [None] * 4
    assert all(share is None for rows in ("by_period", "by_fold") for share in few["missingness"][rows]["always"])
    assert few["intervals"]["by_name"]["always"]["bins"] == {}
    told = survey_of(cohort_of(100, FEWEST))
    assert told["missingness"]["by_period"]["seldom"] == [0.1, 0.1, 0.0, 0.0]
    assert sum(told["intervals"]["by_name"]["seldom"]["bins"].values()) == FEWEST


def test_intervals_fall_into_their_bins():
    found = survey_of(cohort_of(30, 0))["intervals"]["by_name"]["always"]
    day, year = np.searchsorted(EDGES, [DAY, 398 * DAY], side="right") - 1
    assert found["bins"] == {int(day): 60, int(year): 30} and found["intervals"] == 90
    low, high = found["median"]
    assert low < DAY < high
    at_ends = survey_of(cohort_of(30, 0, times=(0, 1e-12, 1e9)))["intervals"]["by_name"]["always"]["bins"]
    assert at_ends == {0: 30, len(EDGES) - 2: 30}


@pytest.mark.parametrize(
    "usual", [1, 10, 60, 300, 900, 3600, DAY, 7 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365.25 * DAY]
)
def test_no_edge_is_near_a_usual_interval(usual):
    assert np.abs(np.log(EDGES / usual)).min() > np.log(1.03)


def test_parts_add_up_to_the_whole():
    whole = cohort_of(100, 35)
    parts = [whole.take(np.arange(0, 50)), whole.take(np.arange(50, 100))]
    assert survey_of(*parts) == survey_of(whole)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.002, "2 ms"),
        (59, "59 s"),
        (3600, "1 h"),
        (0.96 * DAY, "23 h"),
        (1.5 * DAY, "1.5 d"),
        (365 * DAY, "360 d"),
        (1e9, "32 a"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_between():
    assert between(260 * DAY, 381 * DAY).replace("\N{NO-BREAK SPACE}", " ") == "260 to 380 d"
    assert between(50, 3700).replace("\N{NO-BREAK SPACE}", " ") == "50 s to 1 h"
