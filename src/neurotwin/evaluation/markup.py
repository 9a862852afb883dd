"""Pieces of HTML that only this report has: numbers with their intervals, and figures of `plots`."""

from neurotwin.evaluation.plots import Drawing
from neurotwin.evaluation.results import Estimate
from neurotwin.evaluation.spelling import spell
from neurotwin.pages import markup

MINUS = "\N{MINUS SIGN}"


def number(estimate: Estimate, *, sign: bool = False) -> str:
    """An estimate with its interval, the interval set back; a dash where there is none."""
    value, bracket, interval = spell(estimate, sign=sign).replace("-", MINUS).partition(" (")
    return f'{value} <span class="ci">({interval}</span>' if bracket else value


def percent(estimate: Estimate) -> str:
    """A share as a percentage, without its interval; a dash where there is none."""
    return MINUS if estimate.value is None else f"{estimate.value:.1%}"


def figure(drawing: Drawing, identity: str, caption: str) -> str:
    """A drawing with its caption (plain text), which is also what is read aloud."""
    return markup.figure(drawing.svg(markup.text(caption), identity), caption)
