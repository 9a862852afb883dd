"""The way in: a form takes the service's token once, and the browser keeps a cookie that stands for it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from neurotwin.service.access import COOKIE, is_token, session_of
from neurotwin.service.door import Door
from neurotwin.service.pages.frame import HEADERS, page

router = APIRouter()
FORM = """<section class="card narrow"><h1>Log in</h1>
<p>This service is for those who hold its token. Its operator finds it in the file that
<code>neurotwin serve</code> names when it starts.</p>{fault}
<form method="post" action="/login">
<label class="field"><span>Token</span>
<input name="token" type="password" autocomplete="current-password" required autofocus maxlength="512"{invalid}></label>
<button class="main">Log in</button></form></section>"""
FAULT = '<p class="fault" id="fault" role="alert">This is not the token.</p>'
OPEN = """<section class="card narrow"><h1>No login needed</h1>
<p>This service was started without a token. <a href="/">To the patient page</a></p></section>"""


@router.get("/login")
async def show(request: Request) -> Response:
    """The form."""
    form = FORM.format(fault="", invalid="") if Door.of(request).settings.token else OPEN
    return page(request, "Log in", form, bare=True)


@router.post("/login")
async def enter(request: Request) -> Response:
    """Take the token, give the cookie. The token stands in no URL, no log, and nowhere in the browser."""
    token = Door.of(request).settings.token
    if not token or not is_token(_shown(await request.body()), token):
        form = FORM.format(fault=FAULT, invalid=' aria-invalid="true" aria-describedby="fault"') if token else OPEN
        return page(request, "Log in", form, bare=True, status=401 if token else 200)
    answer = RedirectResponse("/", 303, HEADERS)
    answer.set_cookie(COOKIE, session_of(token), path="/", httponly=True, samesite="strict", secure=_is_https(request))
    return answer


@router.post("/logout")
async def leave(request: Request) -> Response:
    """The browser forgets the cookie."""
    answer = RedirectResponse("/login", 303, HEADERS)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=_is_https(request))
    return answer


def _shown(body: bytes) -> str:
    try:
        return parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4)["token"][0]
    except (ValueError, KeyError):
        return ""


def _is_https(request: Request) -> bool:
    """What the browser itself says counts too: before the service there may be a proxy that ends TLS."""
    return "https" in (request.url.scheme, urlsplit(request.headers.get("origin", "")).scheme)
