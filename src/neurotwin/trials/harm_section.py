"""The section of the report on adverse events."""

from collections.abc import Mapping
from typing import Any

from neurotwin.pages.markup import table, text
from neurotwin.trials.design import Design
from neurotwin.trials.spelling import interval, number, p_text


def harm(told: Mapping[str, Any], design: Design) -> str:
    """Counts, exact probabilities, differences, ratios; nothing where no event is defined."""
    if not told["adverse_events"]:
        return ""
    rows = []
    for name, one in told["adverse_events"].items():
        cells = [text(name.replace("_", " "))]
        for kind in ("control", "treated"):
            arm = one[kind]
            share = f"{arm['share']:.1%} [{arm['low']:.1%}, {arm['high']:.1%}]"
            cells.append(f'{arm["events"]}/{arm["n"]} <span class="ci">{share}</span>')
        signal = {None: "–", True: " (signal)", False: ""}[one["signal"]]
        ratio = "–" if one["reporting_ratio"] is None else number(one["reporting_ratio"]) + signal
        rows.append(
            (
                False,
                [*cells, interval(one["risk_difference"]), interval(one["risk_ratio"]), p_text(one["fisher_p"]), ratio],
            )
        )
    arms = [text(arm.replace("_", " ")) for arm in design.arms]
    head = ["event", *arms, "risk difference", "risk ratio", "p (Fisher)", "reporting ratio"]
    definitions = "".join(
        f"<li><strong>{text(name.replace('_', ' '))}</strong>: {text(event.words)}.</li>"
        for name, event in design.adverse_events.items()
    )
    return (
        table(f"Until each subject left; {design.confidence:.0%} intervals", head, rows)
        + f"<ul>{definitions}</ul>"
        + '<p class="small">Probabilities: exact intervals (Clopper and Pearson). Differences: Newcombe. Ratios: Katz, '
        "on the log scale. Reporting ratio: share of the event among all reports of the arm, over that of the control; "
        "a signal has at least 3 cases, a ratio of 2 and a chi-squared of 4 (Evans et al. 2001). p values are not "
        "adjusted for their number.</p>"
    )
