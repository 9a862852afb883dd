"""Who may ask: token, host, origin."""

import pytest
from service_cases import application, body

from neurotwin.errors import ConfigError
from neurotwin.service import Settings
from neurotwin.service.access import COOKIE, session_of

TOKEN = "a-token-of-some-length"


@pytest.fixture
def guarded(tmp_path):
    with application(tmp_path, token=TOKEN) as opened:
        yield opened


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong-token-of-length"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": "\x01=;;"},
    ],
)
def test_without_the_token_nothing_is_told(guarded, headers):
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere", "/v2/models/lung_tumour"):
        response = guarded.get(path, headers=headers)
        assert response.status_code == 401
        assert "lung" not in response.text


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {TOKEN}"}, {"cookie": f"{COOKIE}={session_of(TOKEN)}"}])
def test_the_token_opens(guarded, headers):
    assert guarded.get("/v1/models", headers=headers).status_code == 200


def test_a_token_in_the_url_is_no_token(guarded):
    assert guarded.get(f"/v1/models?token={TOKEN}&access_token={TOKEN}").status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_token(guarded, path):
    assert guarded.get(path).status_code == 200


def test_other_hosts_are_refused(client):
    for host in ("evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost@evil.example"):
        assert client.get("/v1/models", headers={"host": host}).status_code == 400
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert client.get("/v1/models", headers={"host": host}).status_code == 200


def test_pages_of_another_origin_are_refused(client):
    asked = body("PredictQuestion")
    for origin, status in (
        ("http://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://127.0.0.1:8000", 200),
    ):
        told = {"origin": origin, "host": "127.0.0.1:8000"}
        assert client.post("/v1/twins/lung_tumour/predict", json=asked, headers=told).status_code == status
        assert "access-control-allow-origin" not in client.get("/v1/models", headers=told).headers


def test_beyond_loopback_there_must_be_a_token():
    with pytest.raises(ConfigError, match="no token"):
        Settings(bundles=("x",), host="0.0.0.0")


def test_all_addresses_are_also_those_of_loopback(tmp_path):
    with application(tmp_path, host="0.0.0.0", hosts=("twins.example.org",), token=TOKEN) as opened:
        for host in ("127.0.0.1:8000", "localhost:8000", "twins.example.org"):
            assert opened.get("/healthz", headers={"host": host}).status_code == 200
        refused = opened.get("/healthz", headers={"host": "evil.example"})
        assert refused.status_code == 400
        assert "--allow-host" in refused.json()["error"]["remedy"]


def test_an_empty_address_is_refused():
    with pytest.raises(ConfigError, match="no host"):
        Settings(bundles=("x",), host="", token=TOKEN)


def test_a_body_without_a_token_is_neither_waited_for_nor_kept(guarded):
    response = guarded.post("/v1/twins/lung_tumour/predict", json=body("PredictQuestion"))
    assert (response.status_code, response.headers["connection"]) == (401, "close")
    assert "connection" not in guarded.get("/v1/models").headers
    for path in ("/login", "/healthz"):
        assert guarded.post(path, content=b"token=" + b"x" * 2**16).status_code == 413
    assert guarded.post("/login", content=b"token=wrong").status_code == 401


def test_the_token_is_not_shown():
    assert TOKEN not in repr(Settings(bundles=("x",), token=TOKEN, store=f"postgresql://u:{TOKEN}@h/d"))


def test_unasked_access_is_in_the_audit_log(guarded):
    guarded.get("/v1/models")
    assert '"status":401' in guarded.audit.read_text()
