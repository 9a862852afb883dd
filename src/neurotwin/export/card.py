"""MODEL_CARD.md: what a bundle is for, how good it was, and what it is not for."""

from collections.abc import Mapping
from typing import Any

NOT_FOR = "Decisions about a patient without a qualified person and an approved product. This is not a medical device."


def model_card(
    manifest: dict[str, Any],
    signature: dict[str, Any],
    data: dict[str, Any],
    calibration: dict[str, Any],
    parity: dict[str, float],
    measures: Mapping[str, float],
) -> str:
    """Markdown with YAML front matter. ``measures``: what the model told of itself on validation subjects."""
    observed = signature["channels"]["observations"]
    given = signature["channels"]["treatments"]
    subjects = data["subjects"]
    lines = [
        "---",
        f"license: {manifest['license']}",
        "library_name: neurotwin",
        "tags: [digital-twin, neural-ode, onnx]",
        "metrics: [mae, crps, coverage]",
        "---",
        "",
        f"# {manifest['name']} {manifest['version']}",
        "",
        manifest["intended_use"],
        "",
        f"**Not for:** {manifest['not_for']}",
        "",
        "## What it forecasts",
        "",
        "| variable | unit | plausible | seen in training |",
        "|---|---|---|---|",
        *(f"| {c['name']} | {c['unit']} | {_range(c['plausible'])} | {_range(c['trained'])} |" for c in observed),
        "",
        "## What it knows as treatment",
        "",
        *(f"- {c['name']} ({c['kind']}, {c['unit']}), up to {c['trained'][1]:g}" for c in given),
        "" if given else "- none\n",
        "## Data",
        "",
        f"{sum(subjects.values())} {'simulated' if manifest['synthetic'] else 'real'} subjects; "
        f"{subjects['train']} trained on, {subjects['validation']} for validation and calibration, "
        f"{subjects['test']} held out. Cohort sha256 `{data['sha256']}`.",
        "",
        "## How sure it is",
        "",
        f"Intervals at {calibration['level']:.0%}, split-conformal by patient. Measured coverage on held-out patients, "
        f"by horizon (upper edges {_edges(calibration['horizons'])} {calibration['time_unit']}):",
        "",
        "| variable | coverage | patients |",
        "|---|---|---|",
        *(f"| {name} | {_list(c['coverage'])} | {_list(c['n_test'])} |" for name, c in calibration["channels"].items()),
        "",
        f"It abstains beyond {signature['trained_horizon']:g} {signature['time_unit']}, outside plausible ranges, "
        f"on unknown treatments, and when the support score exceeds {signature['support']['threshold']:.3g}.",
        "",
        "## Risks and out-of-scope settings",
        "",
        "Other populations, devices and care pathways than those of the data; treatments given for reasons that the "
        f"data do not record. Comparisons of plans are {signature['counterfactual']}.",
        "",
        "## Parity with the trained model",
        "",
        *(f"- {name}: {value:.1e} of channel scale" for name, value in parity.items()),
        "",
        *_distilled(signature.get("distilled")),
        *_told(measures),
    ]
    return "\n".join(lines)


def _distilled(told: Mapping[str, Any] | None) -> list[str]:
    """A section on the solve that a flow map stands for, if one does."""
    if told is None:
        return []
    errors = told["errors"]["all_plans"]
    return [
        "## Distilled",
        "",
        f"Forecasts are read off a flow map that was taught by the run {told['teacher']['run']} (checkpoint sha256 "
        f"`{told['teacher']['sha256']}`). Its distance from that model's solve, on {told['subjects']} held-out "
        f"patients, in the channel's scale, by horizon (upper edges {_edges(told['horizons'])}):",
        "",
        "| variable | median | 95 % within | worst | 95 % within, of an interval's half-width |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {_list(row['median'])} | {_list(row['p95'])} | {_list(row['worst'])} | "
            f"{_list(told['share'][name])} |"
            for name, row in errors.items()
        ),
        "",
        f"An answer is degraded beyond a horizon of {told['longest']:g}, {told['changes']} changes of treatment or the "
        f"totals that it was measured on, and where the last column exceeds {told['allowed_share']:g}.",
        "",
    ]


def _told(measures: Mapping[str, float]) -> list[str]:
    """A section on what the model tells of itself, if it does."""
    if not measures:
        return []
    told = [f"- {name.replace('_', ' ')}: {value:.3g}" for name, value in measures.items()]
    return ["## What the model tells of itself", "", "On validation subjects:", "", *told, ""]


def _edges(horizons: list[float | None]) -> str:
    return ", ".join("open" if edge is None else f"{edge:g}" for edge in horizons)


def _range(span: list[float | None]) -> str:
    low, high = ("open" if x is None else f"{x:g}" for x in span)
    return f"{low} to {high}"


def _list(values: list[float | None]) -> str:
    return ", ".join("-" if value is None else f"{value:.3g}" for value in values)
