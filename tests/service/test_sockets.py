"""What arrives at a real server's socket: slow, large, half, and wrong."""

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
from service_cases import body

PREDICT = "/v1/twins/lung_tumour/predict"


def connect(serving):
    place = urlsplit(serving.url)
    opened = socket.create_connection((place.hostname, place.port), timeout=20)
    return opened, f"{place.hostname}:{place.port}"


def talk(serving, head, content=b"", host=True):
    """Send raw bytes and read until the server closes or has answered; returns the status, 0 for none."""
    opened, name = connect(serving)
    with opened:
        lines = head.encode() + (f"Host: {name}\r\n".encode() if host else b"") + b"Connection: close\r\n\r\n"
        with contextlib.suppress(OSError):  # it may answer and close before all was sent
            opened.sendall(lines + content)
        try:
            answer = b"".join(iter(lambda: opened.recv(65536), b""))
        except ConnectionError:
            return 0, b""
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]) if status else 0, rest


def good(serving):
    content = json.dumps(body("PredictQuestion")).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nX-Request-Id: 00000000-0000-4000-8000-000000000000\r\n"
    return talk(serving, head + f"Content-Length: {len(content)}\r\n", content)


@pytest.mark.parametrize(
    ("head", "content", "statuses"),
    [
        (f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 50000000\r\n", b"", {413}),
        (f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", b"", {400, 413}),
        (f"POST {PREDICT} HTTP/1.1\r\nContent-Length: -1\r\n", b"", {400}),
        (f"POST {PREDICT} HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n", b"{}", {400}),
        (f"POST {PREDICT} HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}", {415}),
        (f"POST {PREDICT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"zz\r\n", {400}),
        (
            f"POST {PREDICT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
            (b"10000\r\n" + b" " * 65536 + b"\r\n") * 20 + b"0\r\n\r\n",
            {0, 413},
        ),
        (f"GET /{'a' * 40000} HTTP/1.1\r\n", b"", {400, 431}),
        ("GET /healthz HTTP/1.1\r\n" + "".join(f"X-{n}: {'b' * 60}\r\n" for n in range(1000)), b"", {400, 431}),
        ("GARBAGE\r\n", b"", {400}),
        (f"PUT {PREDICT} HTTP/1.1\r\nContent-Length: 0\r\n", b"", {405}),
        ("GET /../../etc/passwd HTTP/1.1\r\n", b"", {404}),
        ("GET /%00 HTTP/1.1\r\n", b"", {404}),
        ("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n", b"", {404}),
    ],
)
def test_what_is_too_large_or_wrong_is_refused(serving, head, content, statuses):
    before = good(serving)
    status, rest = talk(serving, head, content)
    assert status in statuses
    assert b"bbbb" not in rest
    after = good(serving)
    assert before[0] == after[0] == 200
    assert before[1].partition(b"\r\n\r\n")[2] == after[1].partition(b"\r\n\r\n")[2]


def test_a_body_that_is_shorter_than_told_is_never_answered(serving):
    opened, name = connect(serving)
    with opened:
        opened.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: {name}\r\nContent-Length: 100\r\n\r\n{{".encode())
        opened.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in opened.recv(65536)
    assert good(serving)[0] == 200


@pytest.mark.full
def test_half_open_and_slow_connections_are_closed_in_time(serving):
    with contextlib.ExitStack() as stack:
        half = [stack.enter_context(connect(serving)[0]) for _ in range(300)]
        slow, name = connect(serving)
        head, _ = connect(serving)
        stack.enter_context(slow)
        stack.enter_context(head)
        slow.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: {name}\r\nContent-Length: 1000\r\n\r\n".encode())
        begin, answered, closed = time.monotonic(), b"", 0.0
        for opened in (slow, head):
            opened.settimeout(0.2)
        while time.monotonic() - begin < 16 and not (answered and closed):
            with contextlib.suppress(OSError):
                slow.send(b" ")
                answered = answered or slow.recv(4096)
            try:
                head.send(b"G")
                closed = closed or (time.monotonic() if head.recv(10) == b"" else 0.0)
            except TimeoutError:
                pass
            except OSError:
                closed = closed or time.monotonic()
            assert good(serving)[0] == 200
        assert b" 408 " in answered
        assert 8 < closed - begin < 14
        for opened in half:
            opened.settimeout(5)
            with contextlib.suppress(ConnectionError):
                assert opened.recv(1) == b""


def test_a_stopped_server_finishes_what_it_began(serve):
    one = serve()
    assert good(one)[0] == 200
    assert one.stop() == 0
    assert "Traceback" not in one.log.read_text()


def test_live_alerts_arrive_and_end_with_the_server(serve, tmp_path):
    import httpx2

    one = serve("--store", str(tmp_path / "twins.db"))
    with httpx2.Client(base_url=one.url, timeout=20) as http:
        first = body("PatientDocument")
        assert http.post("/v1/twins/p-17/observe", json=first).status_code == 200
        with http.stream("GET", "/v1/twins/p-17/alerts/live") as stream:
            lines = stream.iter_lines()
            told = [next(lines) for _ in range(4)]
            assert told[:2] == ["event: alerts", "id: 1"]
            new = {**first, "treatments": []}
            new["observations"] = [{"t": 21, "variable": "tumour_volume", "value": 400.0, "unit": "cm3"}]
            with httpx2.Client(base_url=one.url) as other:
                assert other.post("/v1/twins/p-17/observe", json=new).status_code == 200
            told = [next(lines) for _ in range(4)]
            assert told[1] == "id: 2"
            kinds = {alert["kind"] for alert in json.loads(told[2].removeprefix("data: "))["alerts"]}
            assert "outside_interval" in kinds
            begin = time.monotonic()
            assert one.stop() == 0
            assert time.monotonic() - begin < 8
