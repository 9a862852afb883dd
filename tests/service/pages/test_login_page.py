"""The login page: the token is shown once, in a body; the browser keeps a cookie that is not the token."""

import pytest
from page_cases import Html
from service_cases import application

TOKEN = "correct-horse-battery-staple"
HERE = {"origin": "http://127.0.0.1:8000"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service with a token."""
    folder = tmp_path_factory.mktemp("guarded")
    with application(folder, token=TOKEN, store=str(folder / "twins.db")) as client:
        client.follow_redirects = False
        yield client


@pytest.fixture
def guarded(service):
    """Its client, before any login."""
    service.cookies.clear()
    return service


def test_a_browser_without_the_token_is_led_to_the_form(guarded):
    answer = guarded.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    page = Html(guarded.get("/login").text)
    assert {"method": "post", "action": "/login"} in page.all("form")
    assert [told["type"] for told in page.all("input")] == ["password"]
    assert guarded.get("/assets/page.css").status_code == 200


def test_the_token_opens_the_pages_until_logout(guarded):
    answer = guarded.post("/login", data={"token": TOKEN}, headers=HERE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie and TOKEN not in str(answer.url)
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert guarded.get("/").status_code == 200 and guarded.get("/v1/models").status_code == 200
    assert "/logout" in guarded.get("/").text
    left = guarded.post("/logout", headers=HERE)
    assert left.status_code == 303 and left.headers["location"] == "/login"
    assert guarded.get("/v1/models").status_code == 401


def test_the_cookie_is_secure_where_the_browser_speaks_https(guarded):
    answer = guarded.post("/login", data={"token": TOKEN}, headers={"origin": "https://127.0.0.1:8000"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "content", [b"", b"token=", b"token=wrong", b"other=1", b"\xff\xfe", b"token=" + b"a&token=" * 50, b"%", b"token"]
)
def test_what_is_not_the_token(guarded, content):
    answer = guarded.post("/login", content=content, headers=HERE)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    page = Html(answer.text)
    assert "This is not the token." in page.text and "wrong" not in page.text
    assert page.all("input")[0]["aria-invalid"] == "true"


def test_a_page_of_another_site_cannot_log_in_or_out(guarded):
    for path in ("/login", "/logout"):
        assert guarded.post(path, data={"token": TOKEN}, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_form_of_the_page_has_this_origin(guarded):
    """Under ``no-referrer`` a browser would call a form's origin ``null``, and the service would refuse it."""
    assert guarded.get("/login").headers["referrer-policy"] == "same-origin"


def test_a_service_without_a_token_needs_no_login(client):
    assert "No login needed" in client.get("/login").text
    answer = client.post("/login", data={"token": "anything"}, headers=HERE)
    assert answer.status_code == 200 and "set-cookie" not in answer.headers


def test_the_audit_log_tells_of_logins_without_the_token(guarded):
    before = len(guarded.audit.read_text())
    guarded.post("/login", data={"token": "not-the-token-either"}, headers=HERE)
    guarded.post("/login", data={"token": TOKEN}, headers=HERE)
    told = guarded.audit.read_text()[before:]
    assert told.count("/login") == 2 and '"status":401' in told.replace(" ", "")
    assert TOKEN not in told and "not-the-token" not in told
