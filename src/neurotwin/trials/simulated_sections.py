"""Sections of the report that only a simulation can fill: power, twins, and the agreement of two engines."""

from collections.abc import Mapping
from typing import Any

from neurotwin.pages.markup import figure, table, text
from neurotwin.trials import figures
from neurotwin.trials.analysis import WORDS
from neurotwin.trials.run_trial import Trial
from neurotwin.trials.spelling import number


def power(told: Mapping[str, Any]) -> str:
    """Power curves, and rejections where there is no effect."""
    parts = []
    for place, (name, rows) in enumerate(told["power"].items()):
        if not rows:
            continue
        drawing, trials = figures.power_plot(rows), rows[0]["trials"]
        parts.append(
            f"<h3>{text(name.replace('_', ' '))}</h3>"
            + figure(
                drawing.svg(f"Power of {text(name)}", f"po{place}"),
                f"{trials} trials per size, with exact intervals; dotted: by formula; dashed: 80 %.",
            )
        )
    rows_of_errors = []
    limits, count, size = [0.0, 1.0], 0, 0
    for name, one in told["type_one_error"].items():
        limits, count, size = one["limits"], one["trials"], one["size"]
        for analysis, row in one["analyses"].items():
            within = "yes" if row["within"] else "no"
            share = f'{row["share"]:.3f} <span class="ci">[{row["low"]:.3f}, {row["high"]:.3f}]</span>'
            rows_of_errors.append(
                (False, [text(name.replace("_", " ")), text(WORDS.get(analysis, analysis)), share, within])
            )
    caption = (
        f"Type-I error: {count} trials of {size} subjects in which the arm changes nobody's outcome; within 99 % "
        f"binomial limits {limits[0]:.3f} to {limits[1]:.3f}"
    )
    return "".join(parts) + table(caption, ["endpoint", "analysis", "rejected", "within"], rows_of_errors, left=(1,))


def twins(trial: Trial) -> str:
    """Prognostic covariate adjustment, and a single arm against its twins."""
    told = trial.numbers
    found = told["precision"]
    if found is None:
        return ""
    name = found["endpoint"]
    correlation = found["correlation"]
    rows = [
        (analysis == "twin", [text(WORDS[analysis]), number(row["bias"]), number(row["bias_se"]), number(row["sd"]),
         number(row["mean_se"]), f"{row['coverage']:.3f}", number(row["variance_ratio"]),
         number(row["variance_ratio_theory"])])
        for analysis, row in found["analyses"].items()
    ]  # fmt: skip
    head = ["analysis", "bias", "its SE", "SD of effects", "mean SE", "coverage", "variance ratio", "by theory"]
    saved = 1 - min(row["variance_ratio_theory"] for row in found["analyses"].values())
    parts = [
        f"<p>Each subject has a twin: {text(told['twins'])}, followed under control. Its forecast, made before "
        "randomisation, is a covariate like any other (Schuler et al., <em>Increasing the efficiency of randomized "
        "trial estimates via linear adjustment for a prognostic score</em>, Int J Biostat 18:329-356, 2022): whatever "
        "it is worth, the analysis stays valid, and it gains 1 - r² of the variance. Here r is "
        f"{correlation['control']:.2f} under control and {correlation['treated']:.2f} under treatment"
        f"; by theory a trial of the same precision needs {saved:.0%} fewer subjects.</p>",
        '<div class="plots wide">',
        figure(
            figures.twins_plot(trial.ready.complete[name], name.replace("_", " ")).svg("Outcomes against twins", "tw"),
            "Patients under control: outcome against forecast; dotted: equal.",
        ),
        figure(
            figures.precision_plot(found).svg("Ratios of variances", "pr"),
            "Bars: measured, with 95 % bootstrap interval; diamonds: theory.",
        ),
        "</div>",
        table(
            f"{text(name.replace('_', ' '))}: {found['trials']} trials of {found['size']} subjects; true effect "
            f"{number(found['truth'])}",
            head,
            rows,
        ),
    ]
    external = told["external_control"]
    if external and all(external["populations"].values()):
        parts.append(_external(external))
    return "".join(parts)


def _external(external: Mapping[str, Any]) -> str:
    rows = []
    for population, one in external["populations"].items():
        for analysis, row in one["analyses"].items():
            rows.append(
                (False, [text(population), text(analysis), number(one["truth"]), number(row["bias"]),
                         number(row["bias_se"]), number(row["sd"]), f"{row['coverage']:.3f}"])
            )  # fmt: skip
    head = ["population", "analysis", "true effect", "bias", "its SE", "SD of effects", "coverage"]
    return (
        "<h3>No control arm: twins instead</h3><p>Half of the subjects, all treated, against their twins' forecasts "
        "without it, beside the randomised trial. A single arm is as good as its twins are right on average, and "
        "nothing in it can tell: in a population that differs in a way nobody measured, its interval misses the truth. "
        "The randomised trial with the same twins is off by no more than chance.</p>"
        + table("Bias of both designs", head, rows, left=(1,))
    )


def engines(trial: Trial) -> str:
    """Means and effects by the simulator and by the bundle."""
    found = trial.numbers.get("engines")
    if not found:
        return ""
    rows = []
    for name, one in found["endpoints"].items():
        parts = [*one["arms"].items(), ("effect", one["effect"])]
        for place, (label, row) in enumerate(parts):
            verdict = ("yes" if one["agrees"] else "no") if place == len(parts) - 1 else ""
            rows.append(
                (label == "effect", [text(name.replace("_", " ")), label, number(row["mechanistic"]),
                                     number(row["surrogate"]), f"{row['gap']:+.2f}", verdict])
            )  # fmt: skip
    tolerance = next(iter(found["endpoints"].values()))["tolerance"]
    courses = trial.ready.courses
    drawings = []
    for place, variable in enumerate(courses.schema.variables):
        mine, theirs = trial.numbers["courses"][variable.name], found["courses"][variable.name]
        label = variable.name.replace("_", " ")
        drawing = figures.courses_plot(mine, label, courses.schema.time_unit, variable.transform == "log", theirs)
        drawings.append(
            figure(drawing.svg(f"Both engines: {text(label)}", f"en{place}"), "Dotted: mean of the surrogate.")
        )
    return (
        f"<p>The bundle {text(found['bundle'])} read the past of {found['subjects']:,} eligible patients up to "
        "randomisation and drew the rest under both arms. It was told what was measured, never a parameter.</p>"
        f'<div class="plots wide">{"".join(drawings)}</div>'
        + table(
            f"Gaps in standard deviations of the outcome; agreement: none beyond {tolerance:g}",
            ["endpoint", "", "mechanistic", "surrogate", "gap", "agrees"],
            rows,
            left=(1,),
        )
    )
