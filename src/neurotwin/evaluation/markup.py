"""Small pieces of HTML: escaped text, numbers with their intervals, tables, legends, figures."""

import html
from collections.abc import Iterable, Sequence

from neurotwin.evaluation.plots import Drawing
from neurotwin.evaluation.results import Estimate
from neurotwin.evaluation.table import spell

MINUS = "\N{MINUS SIGN}"

_SWATCHES = {
    "dot": '<circle cx="12" cy="6" r="3.6" fill="{0}"/>',
    "square": '<path d="M8.6 2.6h6.8v6.8H8.6z" fill="{0}"/>',
    "triangle": '<path d="M12 2l4.2 7.6H7.8z" fill="{0}"/>',
    "ring": '<circle cx="12" cy="6" r="3.6" fill="none" stroke="{0}" stroke-width="1.4"/>',
    "band": '<path d="M0 1h24v10H0z" fill="{0}" opacity=".2"/><path d="M0 6h24" stroke="{0}" stroke-width="2"/>',
    "dashed": '<path d="M0 1h24v10H0z" fill="{0}" opacity=".2"/>'
    '<path d="M0 6h24" stroke="{0}" stroke-width="2" stroke-dasharray="6 3"/>',
    "cut": '<path d="M0 6h24" stroke="{0}" stroke-width="1.4" stroke-dasharray="5 4"/>',
    "bar": '<path d="M0 6h24" stroke="{0}" stroke-width="4"/>',
}


def text(content: object) -> str:
    """Escaped for HTML, attributes included."""
    return html.escape(str(content))


def unit_text(unit: str) -> str:
    """A UCUM unit for reading: nothing for the unit 1, annotations without their braces."""
    return "" if unit == "1" else text(unit.strip("{}"))


def number(estimate: Estimate, *, sign: bool = False) -> str:
    """An estimate with its interval, the interval set back; a dash where there is none."""
    value, bracket, interval = spell(estimate, sign=sign).replace("-", MINUS).partition(" (")
    return f'{value} <span class="ci">({interval}</span>' if bracket else value


def percent(estimate: Estimate) -> str:
    """A share as a percentage, without its interval; a dash where there is none."""
    return MINUS if estimate.value is None else f"{estimate.value:.1%}"


def table(caption: str, head: Sequence[str], rows: Iterable[tuple[bool, Sequence[str]]]) -> str:
    """A table that scrolls sideways on a narrow screen. Cells are HTML; a row that is told so stands out."""
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(_row(main, cells) for main, cells in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(main: bool, cells: Sequence[str]) -> str:
    kind = ' class="main"' if main else ""
    return f'<tr{kind}><th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in cells[1:]) + "</tr>"


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """Legend from swatch, name of a CSS colour, and plain text."""
    items = (
        f'<li><svg viewBox="0 0 24 12" aria-hidden="true">{_SWATCHES[swatch].format(f"var(--{color})")}</svg>'
        f"{text(label)}</li>"
        for swatch, color, label in entries
    )
    return f'<ul class="key">{"".join(items)}</ul>'


def figure(drawing: Drawing, identity: str, caption: str) -> str:
    """A drawing with its caption (plain text), which is also what is read aloud."""
    return f"<figure>{drawing.svg(text(caption), identity)}<figcaption>{text(caption)}</figcaption></figure>"
