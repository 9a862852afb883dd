"""Small pieces of HTML: escaped text, tables, legends, figures."""

import html
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

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


def name_text(name: str) -> str:
    """The name of a variable or a file, which may break after ``_ - . / :`` where there is little room."""
    return re.sub(r"([_\-./:])(?=\w)", r"\1<wbr>", text(name))


def unit_text(unit: str) -> str:
    """A UCUM unit for reading: nothing for the unit 1, annotations without their braces."""
    return "" if unit == "1" else text(unit.strip("{}"))


def table(
    caption: str, head: Sequence[str], rows: Iterable[tuple[bool, Sequence[str]]], *, left: Collection[int] = ()
) -> str:
    """A table that scrolls sideways on a narrow screen. Cells are HTML; a row that is told so stands out.

    Columns of the numbers ``left`` (from 0) get the class ``left``.
    """
    columns = "".join(f'<th scope="col"{_side(number in left)}>{cell}</th>' for number, cell in enumerate(head))
    body = "".join(_row(main, cells, left) for main, cells in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(main: bool, cells: Sequence[str], left: Collection[int]) -> str:
    kind = ' class="main"' if main else ""
    others = "".join(f"<td{_side(number in left)}>{cell}</td>" for number, cell in enumerate(cells) if number)
    return f'<tr{kind}><th scope="row">{cells[0]}</th>{others}</tr>'


def _side(left: bool) -> str:
    return ' class="left"' if left else ""


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """Legend from swatch, name of a CSS colour, and plain text."""
    items = (
        f'<li><svg viewBox="0 0 24 12" aria-hidden="true">{_SWATCHES[swatch].format(f"var(--{color})")}</svg>'
        f"{text(label)}</li>"
        for swatch, color, label in entries
    )
    return f'<ul class="key">{"".join(items)}</ul>'


def figure(drawing: str, caption: str) -> str:
    """A drawing (SVG) with its caption (plain text)."""
    return f"<figure>{drawing}<figcaption>{text(caption)}</figcaption></figure>"


def facts(counts: Mapping[str, int]) -> str:
    """Counts by what is counted (plain text)."""
    items = "".join(f"<div><dt>{text(name)}</dt><dd>{count:,}</dd></div>" for name, count in counts.items())
    return f'<dl class="facts">{items}</dl>'
