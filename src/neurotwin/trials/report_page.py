"""The report of a trial as one HTML page, of the same make as the project's other pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.pages.document import document
from neurotwin.pages.markup import facts, figure, table, text, unit_text
from neurotwin.trials import figures, simulated_sections
from neurotwin.trials.analysis import WORDS
from neurotwin.trials.design import Design
from neurotwin.trials.flow_drawing import STYLE, flow_drawing
from neurotwin.trials.harm_section import harm
from neurotwin.trials.run_trial import Trial
from neurotwin.trials.spelling import interval, number, p_text

SHOWN_PATIENTS = 6
IN_SILICO = (
    "Every patient here is simulated, and both outcomes of each are known. The page tests a design and an analysis; it "
    "is no evidence about any treatment."
)


def render_page(trial: Trial, design: Design, *, command: str = "") -> str:
    """The page as text. Raises ExtraMissingError where matplotlib is not installed."""
    told = trial.numbers
    sections = [
        ("flow", "Flow of subjects", _flow(told, design)),
        ("endpoints", "Endpoints", _endpoints(trial, design)),
        ("courses", "Courses", _courses(trial)),
        ("subgroups", "Subgroups", _subgroups(told)),
        ("harm", "Adverse events", harm(told, design)),
        ("power", "Power and type-I error", simulated_sections.power(told)),
        ("twins", "Twins as covariate and as control", simulated_sections.twins(trial)),
        ("engines", "Mechanistic and surrogate engine", simulated_sections.engines(trial)),
        ("assumed", "What was assumed", _assumed(design, told)),
    ]
    kept = [(identity, title, content) for identity, title, content in sections if content]
    body = "\n".join(
        f'<section id="{identity}" aria-labelledby="h-{identity}"><h2 id="h-{identity}">{text(title)}</h2>{content}'
        "</section>"
        for identity, title, content in kept
    )
    how = f" Made with <code>{text(command)}</code>." if command else ""
    summary = f"{design.question} A randomised trial in silico. {IN_SILICO}"
    links = [(identity, title) for identity, title, _ in kept]
    return document(design.title, links, body, summary=summary, how=how, style=STYLE)


def _flow(told: Mapping[str, Any], design: Design) -> str:
    flow = told["flow"]
    counts = {"screened": flow["screened"], "eligible": flow["eligible"], "randomised": flow["randomised"]}
    plan = design.randomisation
    how = "simple randomisation" if plan.method == "simple" else "permuted blocks"
    strata = f", stratified by {text(', '.join(split.by for split in plan.strata))}" if plan.strata else ""
    ratio = " : ".join(map(str, plan.ratio))
    return (
        f"{facts(counts)}<p>{design.control.replace('_', ' ')} against {design.treated.replace('_', ' ')}, {ratio}, by "
        f"{how}{strata}. Analysed: by arm as allocated (intention to treat), on what was seen of the primary "
        "endpoint.</p>"
        f"{figure(flow_drawing(flow), 'Flow of subjects. A subject may fail several conditions.')}"
    )


def _endpoints(trial: Trial, design: Design) -> str:
    told = trial.numbers
    arms = [name.replace("_", " ") for name in design.arms]
    parts = []
    for place, (name, one) in enumerate(told["endpoints"].items()):
        tag = "Primary" if name == told["primary"] else "Secondary"
        parts.append(f"<h3>{tag}: {text(name.replace('_', ' '))}</h3><p>{text(one['words'])}.</p>")
        if one["kind"] == "time":
            parts.append(_time(trial, design, name, one, f"km{place}"))
        elif one["kind"] == "binary":
            rows = [(True, ["risk difference (Newcombe)", interval(one["risk_difference"]),
                            p_text(one["risk_difference"]["p"]), number(one["truth"]["difference"])])]  # fmt: skip
            parts.append(table(_sizes(one, arms), ["", "effect", "p", "true effect"], rows))
        else:
            parts.append(_means(one, arms))
    return "".join(parts)


def _sizes(one: Mapping[str, Any], arms: Sequence[str]) -> str:
    return f"n = {one['n']['control']} ({text(arms[0])}), {one['n']['treated']} ({text(arms[1])})"


def _means(one: Mapping[str, Any], arms: Sequence[str]) -> str:
    unit = unit_text(one["unit"])
    means = "; ".join(
        f"{text(arm)} {number(one['means'][kind]['mean'])} (SD {number(one['means'][kind]['sd'])})"
        for arm, kind in zip(arms, ("control", "treated"), strict=True)
    )
    rows = [
        (
            False,
            [
                text(WORDS[name]),
                interval(effect),
                number(effect["se"]),
                p_text(effect["p"]),
                number(one["truth"]["difference"]),
            ],
        )  # fmt: skip
        for name, effect in one["effects"].items()
    ]
    caption = f"{_sizes(one, arms)}. Means: {means}{f', {unit}' if unit and 'logarithm' not in one['words'] else ''}."
    return table(caption, ["analysis", "effect", "SE", "p", "true effect"], rows)


def _time(trial: Trial, design: Design, name: str, one: Mapping[str, Any], identity: str) -> str:
    unit = trial.ready.courses.schema.time_unit
    drawing = figures.survival_plot(one, trial.ready.seen[name], trial.sample, list(design.arms), unit)
    rows = []
    for arm, kind in zip(design.arms, ("control", "treated"), strict=True):
        curve = one["curves"][kind]
        low, high = number(curve["median_low"]), number(curve["median_high"])
        rows.append(
            (
                False,
                [
                    text(arm.replace("_", " ")),
                    str(curve["n"]),
                    str(curve["events"]),
                    f'{number(curve["median"])} <span class="ci">[{low}, {high}]</span>',
                    number(one["earlier"][kind]),
                ],
            )  # fmt: skip
        )
    medians = table(
        f"Kaplan-Meier, {design.confidence:.0%} intervals", ["arm", "n", "events", f"median, {unit}", "earliest"],
        rows,
    )  # fmt: skip
    gap = one["restricted_mean"]
    effects = [
        (True, ["hazard ratio (Cox)", interval(one["hazard_ratio"]), p_text(one["log_rank_p"]),
                number(one["truth"]["hazard_ratio"])]),
        (False, [f"restricted mean time, {unit}", interval(gap), p_text(gap["p"]),
                 number(one["truth"]["restricted_mean"])]),
    ]  # fmt: skip
    strata = ", stratified" if one["stratified"] else ""
    found = table(f"Effects; p of the hazard ratio: log-rank{strata}", ["", "effect", "p", "true effect"], effects)
    width = f" On average {one['interval_width']:.2g} {unit} apart." if one["interval_width"] else ""
    note = (
        '<p class="small">The time of an event is that of the visit that showed it; it happened after the visit before '
        f"(earliest: median if all had happened then).{width}</p>"
    )
    shaded = f"Shaded: {design.confidence:.0%} intervals."
    return figure(drawing.svg(f"Kaplan-Meier curves of {text(name)}", identity), shaded) + medians + found + note


def _courses(trial: Trial) -> str:
    courses = trial.ready.courses
    parts = []
    for place, variable in enumerate(courses.schema.variables):
        told = trial.numbers["courses"][variable.name]
        unit = "" if variable.unit == "1" else f", {variable.unit.strip('{}')}"
        label, log = f"{variable.name.replace('_', ' ')}{unit}", variable.transform == "log"
        time = courses.schema.time_unit
        mean = figures.courses_plot(told, label, time, log)
        parts.append(
            figure(mean.svg(f"Mean course of {text(label)}", f"mc{place}"), "Mean and central 80 % of all eligible.")
        )
        count = min(SHOWN_PATIENTS, len(courses))
        values = {arm: table[:count, :, place] for arm, table in courses.measured.items()}
        some = figures.patients_plot(courses.time[:count] - courses.cut, values, count, label, time, log)
        parts.append(
            figure(
                some.svg(f"{count} patients under both arms", f"sp{place}"),
                f"{count} patients under both arms: what no real trial sees.",
            )
        )
    return f'<div class="plots wide">{"".join(parts)}</div>'


def _subgroups(told: Mapping[str, Any]) -> str:
    if not told["subgroups"]:
        return ""
    parts = []
    for place, one in enumerate(told["subgroups"]):
        ratio = one["measure"] == "hazard ratio"
        drawing = figures.forest_plot(one["rows"], ratio, one["measure"])
        rows = [
            (False, [text(row["label"]), str(row["n"]), interval(row["effect"]), number(row["truth"])])
            for row in one["rows"]
        ]
        by = one["by"].replace("_", " ")
        caption = f"{one['measure']} by {by}; test of interaction: p = {p_text(one['interaction_p'])}"
        parts.append(
            f"<h3>By {text(by)}</h3>"
            + figure(
                drawing.svg(f"Effects by {text(by)}", f"fo{place}"), "Squares: this trial. Diamonds: true effects."
            )
            + table(caption, ["subgroup", "n", one["measure"], "true"], rows)
        )
    return "".join(parts)


def _assumed(design: Design, told: Mapping[str, Any]) -> str:
    leave = design.dropout
    if not leave.rate:
        why = "Nobody leaves."
    elif leave.variable is None:
        why = f"Subjects leave at a rate of {leave.rate:g}, whatever happens to them."
    else:
        seen = "the visit before" if leave.sees == "last" else "the visit to come, which is then not seen"
        why = (
            f"Subjects leave at a rate of {leave.rate:g} times exp({leave.strength:g} x change of {leave.variable} / "
            f"{leave.scale:g} {leave.unit}) at {seen}."
        )
    truth = (
        f"True effects: average among all {told['flow']['eligible']:,} eligible patients, each under both arms, as "
        "measured at the visits, if nobody left. For a time it is the difference of restricted means, or Cox's ratio, "
        "of all outcomes under one arm against all under the other."
    )
    lines = [
        IN_SILICO,
        "The model, its constants and the variability between patients are those of the simulator's sheet; all of a "
        "patient's parameters stay as they are for the whole trial.",
        "Doses are taken as planned. Nobody dies, changes arm, or has other treatment.",
        why,
        truth,
        "Repeated trials draw their subjects with replacement from the eligible patients and allocate them anew.",
    ]
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"
