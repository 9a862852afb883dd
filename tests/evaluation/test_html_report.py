"""The HTML report: it holds the numbers it was given, nothing from outside, and no unescaped name."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from neurotwin.errors import CohortError, ConfigError, InputError
from neurotwin.evaluation import Locf, PopulationMean, evaluate
from neurotwin.evaluation.report import render_report, write_report
from neurotwin.evaluation.results import Estimate
from neurotwin.evaluation.sections import CohortFacts, Curve, Period, PlanComparison, Points, Task
from neurotwin.evaluation.spelling import spell
from neurotwin.evaluation.trajectories import draw_trajectories
from neurotwin.pages.document import DISCLAIMER

VOID = {"meta", "br", "img", "link", "hr", "input"}
EVIL = "<script>alert('x')</script> & \"more\""


class Balanced(HTMLParser):
    """Collects text and ids, and checks that every element is closed."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.stack == []
    return parser


@pytest.fixture
def task(population):
    train, test = population(60, seed=1), population(40, seed=2)
    predictors = {"locf": Locf.fit(train), "mean": PopulationMean.fit(train)}
    report = evaluate(predictors, test, cut=2, horizons=[1, 3], baselines=["mean"], n_bootstrap=100)
    time = np.linspace(3, 5, 9)
    curve = Curve.of(time, time, time - 1, time + 1)
    plans = PlanComparison(
        title="subject 7",
        variable="x",
        unit="mm",
        time_unit="d",
        level=0.9,
        cut=2,
        names=("early", EVIL),
        first=curve,
        second=curve,
        difference=Curve.of(time, time / 9, time / 10, time / 8),
        counterfactual="observational",
        history=Points.of([0, 1], [1, 2]),
        truth=(Points.of([4], [4]), Points.of([5], [5])),
    )
    return Task(
        title=f"Walk {EVIL}",
        question="Where to?",
        main="locf",
        evaluation=report,
        labels={"locf": "last value"},
        cohort=CohortFacts("Walks", "simulated", "Random walks.", 60, 0, 40, 480, source=EVIL),
        shown=(("y", "log"), ("x", "natural")),
        trajectories=draw_trajectories(predictors["locf"], test, cut=2, variable="y", n_subjects=3),
        comparison=plans,
        notes=("A note.",),
    )


def test_page_is_well_formed_and_self_contained(task):
    page = render_report("Demo", [task, replace(task, title="Again")], created="2026-01-05", command="neurotwin demo")
    parser = parse(page)
    assert len(parser.ids) == len(set(parser.ids))
    assert "script" not in parser.tags
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "url(http" not in page
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(parser.ids)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(parser.ids)
    assert page.count(DISCLAIMER) == 2


def test_names_are_escaped(task):
    page = render_report(EVIL, [task], summary=EVIL, created=EVIL, command=EVIL)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    parse(page)


def test_page_holds_the_numbers(task):
    page = render_report("Demo", [task])
    text = "".join(parse(page).text).replace("\N{MINUS SIGN}", "-")
    for variable, scale in task.shown:
        score = task.evaluation.score("locf", variable, scale)
        assert spell(score.metrics["mae"].pooled) in text
        assert spell(Estimate(value=score.metrics["crps"].pooled.value)) in text
        assert f"{score.metrics['coverage'].pooled.value:.1%}" in text
        gap = task.evaluation.difference("locf", "mean", variable, scale)
        assert spell(gap.metrics["mae"].pooled, sign=True) in text
        binned = task.evaluation.score("locf", variable, scale, (0.0, 1.0))
        assert spell(binned.metrics["mae"].pooled) in text
    for words in (
        "480",
        "ln(mg/dL)",
        "simulated subjects",
        "Better than",
        "last value",
        "A note.",
        "+0.556 (+0.500 to +0.625) mm",
        "observational data",
        "0-1 d",
    ):
        assert words in text


def test_figures_are_accessible_svg_that_follow_the_theme(task):
    page = render_report("Demo", [task])
    figures = re.findall(r"<figure>(<svg.*?</svg>)<figcaption>(.*?)</figcaption>", page, flags=re.DOTALL)
    assert len(figures) == 1 + 1 + 3 + 2 + 2
    for svg, caption in figures:
        root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
        assert root.attrib["role"] == "img"
        assert root[0].tag.endswith("title")
        assert root.attrib["viewBox"].startswith("0 0 ")
        assert "width" not in root.attrib
        assert caption
        assert "var(--" in svg
        assert "DejaVu" not in svg
        assert "#22262b" not in svg


def test_rendering_is_repeatable(task):
    assert render_report("Demo", [task]) == render_report("Demo", [task])


def test_written_whole_or_not_at_all(task, tmp_path):
    path = write_report(tmp_path / "report.html", "Demo", [task])
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match="no tasks"):
        write_report(path, "Demo", [])
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "none" / "report.html", "Demo", [task])


def test_a_bare_task_renders(task):
    bare = replace(task, trajectories=(), comparison=None, notes=(), shown=(), main="mean", labels={})
    page = render_report("Demo", [bare])
    parse(page)
    assert "Some test subjects" not in page
    assert "Two plans" not in page


def test_trajectories_show_past_forecast_and_later_truth(population):
    train, test = population(60, seed=1), population(10, seed=2)
    drawn = draw_trajectories(Locf.fit(train), test, cut=2, variable="x", n_subjects=4, max_horizon=2.5, seed=3)
    assert [one.title for one in drawn] == ["Subject 1", "Subject 2", "Subject 3", "Subject 4"]
    for one in drawn:
        assert one.history.time.tolist() == [0, 1, 2]
        assert one.later.time.tolist() == [3, 4]
        assert one.forecast.time[[0, -1]] == pytest.approx([2 + 2 / 60, 4])
        assert (one.forecast.median == one.history.value[-1]).all()
        assert (one.forecast.low <= one.forecast.median).all()
    again = draw_trajectories(Locf.fit(train), test, cut=2, variable="x", n_subjects=4, max_horizon=2.5, seed=3)
    assert [one.history.value[0] for one in again] == [one.history.value[0] for one in drawn]
    with pytest.raises(ConfigError, match="no variable z"):
        draw_trajectories(Locf.fit(train), test, cut=2, variable="z")
    with pytest.raises(CohortError, match="no subject has two values"):
        draw_trajectories(Locf.fit(train), test, cut=4, variable="x")


def test_units_read_like_text(task):
    plans = replace(task.comparison, unit="{score}", history=Points.of())
    one = replace(
        task.trajectories[0], unit="1", treatments=(Period("drug", 0), Period("drip", 0, np.inf)), log_axis=True
    )
    page = render_report("Demo", [replace(task, comparison=plans, trajectories=(one,))])
    assert "+0.625) score" in page
    assert "treatment" in page


def test_records_refuse_what_does_not_fit(task):
    with pytest.raises(InputError, match="2 times, 1 values"):
        Points.of([1, 2], [1])
    with pytest.raises(InputError, match="not finite"):
        Points.of([1], [np.nan])
    with pytest.raises(InputError, match="columns of lengths"):
        Curve.of([1, 2], [1, 2], [1, 2], [1])
    with pytest.raises(InputError, match="columns of lengths"):
        Curve.of([], [], [], [])
    with pytest.raises(InputError, match="no predictor twin"):
        replace(task, main="twin")
    with pytest.raises(InputError, match="was not scored"):
        replace(task, shown=(("z", "natural"),))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.58649, 0.49, 0.6901), "0.586 (0.490 to 0.690)"),
        ((123.4, None, None), "123"),
        ((None, None, None), "-"),
        ((-0.0004, -0.02, 0.0201), "-0.0004 (-0.0200 to 0.0201)"),
        ((0.0, 0.0, 0.0), "0.00 (0.00 to 0.00)"),
        ((1234.5, 999.0, 2000.2), "1234 (999 to 2000)"),
    ],
)
def test_spelling(numbers, text):
    value, low, high = numbers
    assert spell(Estimate(value=value, low=low, high=high)) == text
