"""A model's card in the page: what it is for, what it is not for, what it was measured to be, what it accepts."""

from __future__ import annotations

from typing import Any

from neurotwin.pages.markup import name_text, table, text, unit_text
from neurotwin.runtime import Predictor


def card(predictor: Predictor) -> str:
    """HTML of the card."""
    bundle = predictor.bundle
    manifest, signature = bundle.manifest, bundle.signature
    facts = {
        "Version": bundle.version,
        "Made": str(manifest.get("created", ""))[:10],
        "License": manifest.get("license", ""),
        "Contact": manifest.get("contact", ""),
        "Data": bundle.calibration.get("description", ""),
        "Furthest forecast": f"{signature['trained_horizon']:.4g} {signature['time_unit']}",
        "Visits needed": signature["min_visits"],
        "Comparisons": signature["counterfactual"],
    }
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(fact)}</dd></div>" for name, fact in facts.items() if fact)
    return f"""<h3>Intended use</h3><p>{text(manifest.get("intended_use", "not told"))}</p>
<h3>Not for</h3><p>{text(manifest.get("not_for", "not told"))}</p>
<dl class="about">{rows}<div><dt>sha256</dt><dd><code class="hash">{text(bundle.sha256)}</code></dd></div></dl>
{_inputs(signature)}
{_coverage(bundle.calibration)}
{_differences(bundle.calibration.get("differences"))}"""


def _inputs(signature: Any) -> str:
    channels = signature["channels"]
    rows = [
        (
            False,
            (
                name_text(one["name"]),
                unit_text(one["unit"]),
                ", ".join(map(text, one["levels"])) if one.get("levels") else _range(one.get("plausible")),
                _range(one.get("trained")),
                f"<code>{text(one['code'])}</code>" if one.get("code") else "",
            ),
        )
        for group in ("observations", "treatments", "statics")
        for one in channels[group]
    ]
    return table("What it knows", ("name", "unit", "possible", "seen in training", "code"), rows, left=(1, 2, 3, 4))


def _coverage(calibration: Any) -> str:
    level, unit = calibration["level"], calibration.get("time_unit", "")
    edges = calibration["horizons"]
    names = [f"to {edge:g} {unit}" if edge is not None else "beyond" for edge in edges]
    rows = []
    for channel, told in calibration["channels"].items():
        pairs = zip(told.get("coverage") or [None] * len(edges), told.get("n_test") or [None] * len(edges), strict=True)
        cells = ["" if share is None else f"{share:.1%} <small>of {n} patients</small>" for share, n in pairs]
        rows.append((False, (name_text(channel), *cells)))
    caption = f"Share of held-out patients' values inside the {level:.0%} interval, by time ahead"
    return table(caption, ("quantity", *map(text, names)), rows)


def _differences(part: Any) -> str:
    """Coverage of paired differences, where it was calibrated."""
    if part is None:
        return ""
    names = [f"to {edge:g} {part['time_unit']}" for edge in part["horizons"]]
    rows = [
        (
            False,
            (
                ", ".join(map(name_text, group["treatments"])),
                name_text(channel),
                *("" if share is None else f"{share:.1%}" for share in told["coverage"]),
            ),
        )
        for group in part["groups"]
        for channel, told in group["channels"].items()
    ]
    caption = f"Share of true differences between two plans inside the {part['level']:.0%} interval, by time ahead"
    return table(caption, ("given", "quantity", *map(text, names)), rows, left=(1,))


def _range(ends: Any) -> str:
    if not ends or ends[0] is None and ends[1] is None:
        return ""
    low, high = ("…" if end is None else f"{end:,.6g}" for end in ends)
    return f"{low} to {high}"
