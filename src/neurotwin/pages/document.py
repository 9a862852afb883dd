"""The frame of a page: head with the style sheet and the content policy, title, links to the sections, footer."""

from collections.abc import Sequence
from importlib import resources

from neurotwin import __version__
from neurotwin.pages.markup import text

DISCLAIMER = "Research software, not a medical device: nothing here may guide the care of a patient."


def document(
    title: str,
    links: Sequence[tuple[str, str]],
    sections: str,
    *,
    summary: str = "",
    created: str = "",
    how: str = "",
    style: str = "",
) -> str:
    """A whole page.

    Args:
        title, summary: head of the page, as plain text.
        links: id and title (plain text) of each section.
        sections: HTML.
        created: date, as plain text.
        how: HTML at the end of the footer's first line.
        style: CSS after that of all pages.
    """
    common = resources.files("neurotwin.pages").joinpath("page.css").read_text(encoding="utf-8")
    items = "".join(f'<li><a href="#{identity}">{text(label)}</a></li>' for identity, label in links)
    made = f"neurotwin {__version__}" + (f", {text(created)}" if created else "")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{text(title)}</title>
<style>
{common}{style}</style>
</head>
<body>
<header>
<h1>{text(title)}</h1>
<p class="lead">{text(summary)}</p>
<p class="warning"><strong>{DISCLAIMER}</strong></p>
<nav aria-label="Sections"><ul>{items}</ul></nav>
</header>
<main>
{sections}
</main>
<footer><p>{made}.{how}</p><p>{DISCLAIMER}</p></footer>
</body>
</html>
"""
