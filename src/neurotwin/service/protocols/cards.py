"""Cards of CDS Hooks from answers.

They inform: none suggests an action, and none is urgent unless an operator said of a risk from when on it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from neurotwin.runtime import Predictor
from neurotwin.service.pages.words import SENTENCES

LONGEST_SUMMARY = 139
MOST_LINES = 50
WARNING = "Research software, not a medical device."
Card = dict[str, Any]
Clock = Callable[[float], str]
"""From the model's time to an instant as text."""


class Cards:
    """Writes cards of one model. ``clock``: from the model's time to an instant."""

    def __init__(self, predictor: Predictor, clock: Clock) -> None:
        self.name = predictor.bundle.name
        self.clock: Clock = lambda t: clock(t)[:16].replace("T", " ") + " UTC"
        self.source = {"label": f"neurotwin {predictor.bundle.name} {predictor.bundle.version}"}

    def forecast(self, answer: dict[str, Any], more: Iterable[str] = ()) -> Card:
        """What is forecast, or why nothing is; ``more`` lines stand below."""
        if answer["prediction"] is None:
            return self.silence(answer, more)
        rows = [row for row in answer["prediction"] if row["median"] is not None]
        last = rows[-1]["t"] if rows else 0.0
        first = next(row for row in rows if row["t"] == last)
        summary = f"Forecast {self._day(last)}: {first['channel']} {_told(first)}"
        lines = ["| time | channel | forecast |", "| --- | --- | --- |"]
        lines += [f"| {self.clock(row['t'])} | {row['channel']} | {_told(row)} |" for row in rows]
        return self._card(summary, [*_cut(lines), "", *_notes(answer), *more])

    def silence(self, answer: dict[str, Any], more: Iterable[str] = ()) -> Card:
        """The model stays silent, and why."""
        means = [f"* {' '.join(SENTENCES[reason])}" for reason in answer["reasons"]]
        places = [f"* {detail}" for detail in answer["details"]]
        summary = f"{self.name} stays silent. {in_words(answer['reasons'])}"
        lines = ["No forecast.", "", *means, "", "Where:", "", *_cut(places), "", *_ignored(answer)]
        return self._card(summary, [*lines, *more])

    def difference(self, comparison: dict[str, Any], more: Iterable[str]) -> Card:
        """What is forecast to differ between two plans, or why nothing is told."""
        silent = [answer for answer in comparison["plans"] if answer["prediction"] is None]
        if silent:
            return self.silence(silent[-1], more)
        rows = comparison["differences"]
        if not rows:
            reasons = comparison["difference_reasons"] or ["implausible_output"]
            return self.silence({**comparison["plans"][-1], "reasons": reasons, "details": []}, more)
        last = next(row for row in rows if row["t"] == rows[-1]["t"])
        summary = f"Difference with these orders {self._day(last['t'])}: {last['channel']} {_told(last, sign='+')}"
        lines = [f"Forecast {rows[0]['b']}, minus that {rows[0]['a']}:", ""]
        lines += ["| time | channel | difference |", "| --- | --- | --- |"]
        lines += [f"| {self.clock(row['t'])} | {row['channel']} | {_told(row, sign='+')} |" for row in rows]
        notes = [f"What the comparison rests on: {comparison['counterfactual']}."]
        notes += [f"* {detail}" for detail in comparison.get("difference_details", ())]
        return self._card(summary, [*_cut(lines), "", *notes, *_notes(comparison["plans"][-1]), *more])

    def alarm(self, answer: dict[str, Any], indicator: str) -> Card:
        """A watched risk that has reached its alarm."""
        warning, level = answer["early_warning"], answer["risk"]["interval"]
        at = next(row for row in answer["by_time"] if row["t"] == warning["t"])
        ends = " to ".join(f"{at['interval'][end]:.0%}" for end in ("lo", "hi"))
        summary = f"Risk of {event_of(answer)} by {self._day(at['t'])}: {at['probability']:.0%} ({ends})"
        lines = ["| time | probability | interval |", "| --- | --- | --- |"]
        lines += [
            f"| {self.clock(row['t'])} | {row['probability']:.0%} | "
            f"{row['interval']['lo']:.0%} to {row['interval']['hi']:.0%} |"
            for row in answer["by_time"]
        ]
        about = (
            f"The interval ({level['level']:.0%}) tells how far {level['draws']} joint draws can tell the probability."
        )
        return self._card(summary, [*_cut(lines), "", about, *_notes(answer)], indicator)

    def _card(self, summary: str, lines: Iterable[str], indicator: str = "info") -> Card:
        short = summary if len(summary) <= LONGEST_SUMMARY else summary[: LONGEST_SUMMARY - 1] + "…"
        return {
            "uuid": str(uuid.uuid4()),
            "summary": short,
            "detail": "\n".join([*lines, "", WARNING]),
            "indicator": indicator,
            "source": self.source,
        }

    def _day(self, t: float) -> str:
        return self.clock(t)[:10]


def event_of(answer: dict[str, Any]) -> str:
    """The event of a risk's answer: channel, side, threshold, unit."""
    event = answer["event"]
    side = "above" if "above" in event else "below"
    value = event[side]
    return f"{event['channel']} {side} {'a threshold' if value is None else f'{value:g} ' + event['unit']}"


def in_words(reasons: list[str]) -> str:
    """What reasons mean."""
    return " ".join(SENTENCES[reason][0] for reason in reasons)


def _told(row: dict[str, Any], sign: str = "") -> str:
    interval = row.get("interval")
    text = f"{row['median']:{sign}.4g} {row['unit']}"
    if not interval:
        return text
    return f"{text} ({interval['level']:.0%}: {interval['lo']:{sign}.4g} to {interval['hi']:{sign}.4g})"


def _notes(answer: dict[str, Any]) -> list[str]:
    degraded = [f"To be read with care. {in_words(answer['reasons'])}"] if answer["reasons"] else []
    return degraded + _ignored(answer)


def _ignored(answer: dict[str, Any]) -> list[str]:
    count = len(answer["inputs_ignored"])
    return [f"Inputs that were not used: {count}."] if count else []


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more"]
