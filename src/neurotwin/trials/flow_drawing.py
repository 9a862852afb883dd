"""The flow of subjects as CONSORT draws it (Schulz et al., BMJ 340:c332, 2010): boxes from screening to analysis."""

from collections.abc import Mapping, Sequence
from typing import Any

from neurotwin.pages.markup import text

LINE, WIDE, GAP = 17, 270, 26
_MIDDLE, _SIDE = 190, 445


def flow_drawing(flow: Mapping[str, Any]) -> str:
    """Inline SVG."""
    failed = [f"{words.replace('_', ' ')}: {count:,} fail" for words, count in flow["failed"].items()]
    excluded = [f"Not eligible: {flow['not_eligible']:,}", *failed]
    if flow["not_needed"]:
        excluded.append(f"Eligible, not needed: {flow['not_needed']:,}")
    parts: list[str] = []
    y = 10
    wide = max(WIDE, 16 + int(7.2 * max(map(len, excluded))))
    y = _box(parts, _MIDDLE - 115, y, 230, [f"Screened: {flow['screened']:,}"], bold=True)
    aside = y + 8
    below = _box(parts, _SIDE - 115, aside, wide, excluded)
    middle = aside + (below - aside) / 2
    parts.append(_arrow(_MIDDLE, y, _MIDDLE, below + GAP))
    parts.append(_arrow(_MIDDLE, middle, _SIDE - 115, middle))
    y = _box(parts, _MIDDLE - 115, below + GAP, 230, [f"Randomised: {flow['randomised']:,}"], bold=True)
    fork, end = y + GAP // 2, y
    parts.append(f'<path d="M{_MIDDLE} {y}V{fork}" class="wire"/>')
    centres = (_MIDDLE, _MIDDLE + 290)
    parts.append(f'<path d="M{centres[0]} {fork}H{centres[1]}" class="wire"/>')
    for centre, (name, arm) in zip(centres, flow["arms"].items(), strict=True):
        parts.append(_arrow(centre, fork, centre, fork + GAP))
        lines = [name.replace("_", " "), f"Allocated: {arm['allocated']:,}"]
        last = _box(parts, centre - 130, fork + GAP, 260, lines, bold=True)
        for more in ([f"Left before the end: {arm['left']:,}"], [f"Analysed: {arm['analysed']:,}"]):
            parts.append(_arrow(centre, last, centre, last + GAP))
            last = _box(parts, centre - 130, last + GAP, 260, more)
        end = last
    width = max(_SIDE - 115 + wide, centres[1] + 130) + 12
    words = f"{flow['screened']} screened, {flow['eligible']} eligible, {flow['randomised']} randomised"
    return (
        f'<svg viewBox="0 0 {width} {end + 8:.0f}" role="img" aria-label="Flow of subjects: {words}" class="flow" '
        f'xmlns="http://www.w3.org/2000/svg"><title>Flow of subjects: {words}</title>{"".join(parts)}</svg>'
    )


def _box(parts: list[str], x: float, y: float, width: float, lines: Sequence[str], *, bold: bool = False) -> int:
    """Add a box; returns where it ends."""
    height = LINE * len(lines) + 12
    parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height}" class="box"/>')
    for number, line in enumerate(lines):
        kind = ' class="strong"' if bold and number == 0 else ""
        parts.append(f'<text x="{x + 10:.0f}" y="{y + 19 + LINE * number:.0f}"{kind}>{text(line)}</text>')
    return int(y + height)


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    head = f"M{to_x - 4} {to_y - 7}l4 7l4 -7" if x == to_x else f"M{to_x - 7} {to_y - 4}l7 4l-7 4"
    return f'<path d="M{x} {y}L{to_x} {to_y}{head}" class="wire"/>'


STYLE = """
svg.flow { width: 100%; max-width: 44rem; height: auto; font-size: 12.5px; fill: var(--ink); }
svg.flow .box { fill: var(--panel); stroke: var(--line); }
svg.flow .wire { fill: none; stroke: var(--muted); stroke-width: 1.2; }
svg.flow .strong { font-weight: 600; }
figure:has(svg.flow) { max-width: 46rem; }
th.left, td.left { text-align: left; }
"""
