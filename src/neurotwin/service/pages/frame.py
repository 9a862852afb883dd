"""The frame of a page of the service: head, content policy, navigation, and the warning that is always in view."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from neurotwin import __version__
from neurotwin.pages.markup import text
from neurotwin.service.door import Door

WARNING = "Research software, not a medical device"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    # A form that is sent under `no-referrer` has the origin `null`, which the service does not take for its own.
    "referrer-policy": "same-origin",
}


def page(
    request: Request,
    title: str,
    main: str,
    *,
    script: str = "",
    data: dict[str, Any] | None = None,
    status: int = 200,
    bare: bool = False,
) -> Response:
    """A whole page.

    Args:
        title: plain text.
        main: HTML.
        script: name of a module in ``static``.
        data: what the script is told, as JSON in the page.
        bare: no navigation: nobody is known yet.
    """
    module = f'<script type="module" src="/assets/{script}"></script>' if script else ""
    told = f'<script type="application/json" id="told">{as_data(data)}</script>' if data is not None else ""
    links = "" if bare else _navigation(request)
    content = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)} · neurotwin</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/page.css">
{module}
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header class="bar"><p class="brand">neurotwin</p>{links}<p class="device" role="note">{WARNING}</p></header>
<main id="main" tabindex="-1">
{main}
</main>
<footer><p>neurotwin {text(__version__)}. {WARNING}: nothing here may guide the care of a patient.</p></footer>
{told}
</body>
</html>
"""
    return Response(content, status, HEADERS, "text/html; charset=utf-8")


def as_data(content: Any) -> str:
    """JSON that stands in a page: no character of it can end the element or begin another."""
    found = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found


def options(choices: dict[str, str], chosen: str) -> str:
    """The options of a choice: plain text by value."""
    return "".join(
        f'<option value="{text(value)}"{" selected" if value == chosen else ""}>{text(label)}</option>'
        for value, label in choices.items()
    )


def field(label: str, control: str, hint: str = "") -> str:
    """A labelled control: ``label`` and ``hint`` are plain text, ``control`` is HTML of one control."""
    more = f' <span class="hint">({text(hint)})</span>' if hint else ""
    return f'<label class="field"><span>{text(label)}{more}</span>{control}</label>'


def _navigation(request: Request) -> str:
    door = Door.of(request)
    links = {"/": "Patient"}
    if door.store is not None:
        links["/population"] = "Population"
    if door.settings.teach:
        links["/teach"] = "Teaching"
    here = "/" if request.url.path.startswith("/twins/") else request.url.path
    items = "".join(
        f'<li><a href="{link}"{" aria-current=page" if link == here else ""}>{label}</a></li>'
        for link, label in links.items()
    )
    leave = '<form method="post" action="/logout"><button class="plain">Log out</button></form>'
    return f'<nav aria-label="Pages"><ul>{items}</ul></nav>{leave if door.settings.token else ""}'
