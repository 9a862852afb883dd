"""What MODEL_CARD.md says of a calibration."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.bundle import Bundle
from neurotwin.runtime.paired import PART

SURE, PAIRED = "How sure it is", "How sure it is of differences between plans"


def told_again(card: str, bundle: Bundle, version: str, calibration: Mapping[str, Any]) -> str:
    """The card with its version and the sections on calibration written anew, the others as they are."""
    head, *sections = re.split(r"(?m)^## ", card)
    head = head.replace(f"# {bundle.name} {bundle.version}\n", f"# {bundle.name} {version}\n")
    own = {SURE: _forecasts(calibration, bundle)} if _changed(bundle, calibration) else {}
    if PART in calibration:
        own[PAIRED] = _differences(calibration[PART])
    kept = []
    for section in sections:
        title = section.split("\n", 1)[0]
        if title == PAIRED:
            continue
        kept.append(f"{SURE}\n\n{own[SURE]}\n\n" if title == SURE and SURE in own else section)
        if title == SURE and PAIRED in own:
            kept.append(f"{PAIRED}\n\n{own[PAIRED]}\n\n")
    return "".join(f"## {section}" if number else section for number, section in enumerate([head, *kept]))


def _changed(bundle: Bundle, calibration: Mapping[str, Any]) -> bool:
    before, now = ({key: one[key] for key in one if key != PART} for one in (bundle.calibration, calibration))
    return before != now


def _forecasts(calibration: Mapping[str, Any], bundle: Bundle) -> str:
    edges = ", ".join("open" if edge is None else f"{edge:g}" for edge in calibration["horizons"])
    signature = bundle.signature
    rows = [[name, _list(one["coverage"]), _list(one["n_test"])] for name, one in calibration["channels"].items()]
    return "\n".join(
        [
            f"Intervals at {calibration['level']:.0%}, split-conformal by patient, fitted again: "
            f"{calibration['description']}. Coverage measured on other patients of the same cohort, by horizon "
            f"(upper edges {edges} {calibration['time_unit']}):",
            "",
            *_table(["variable", "coverage", "patients"], rows),
            "",
            f"It abstains beyond {signature['trained_horizon']:g} {signature['time_unit']}, outside plausible ranges, "
            f"on unknown treatments, and when the support score exceeds {signature['support']['threshold']:.3g}.",
        ]
    )


def _differences(part: Mapping[str, Any]) -> str:
    edges = ", ".join(f"{edge:g}" for edge in part["horizons"])
    rows = [
        [" + ".join(group["treatments"]), name, _list(one["drawn"]), _list(one["coverage"]), _list(one["n_test"])]
        for group in part["groups"]
        for name, one in group["channels"].items()
    ]
    return "\n".join(
        [
            f"Intervals at {part['level']:.0%} of paired differences, calibrated on virtual patients simulated under "
            f"pairs of plans by their own mechanism: {part['pairs']['description']}. Coverage measured on others of "
            f"them, by time since the plans' start (upper edges {edges} {part['time_unit']}; - where there were too "
            "few):",
            "",
            *_table(["given by then", "variable", "joint draws alone", "coverage", "patients"], rows),
            "",
            "An answer says `extrapolation` where two plans give other treatments, more of them, or are asked about "
            "later than was tried.",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _list(values: Sequence[int | float | None]) -> str:
    told = ["-" if one is None else f"{one:.3g}" if isinstance(one, float) else str(one) for one in values]
    return ", ".join(told)
