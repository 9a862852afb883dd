"""A client of `neurotwin serve`, of the standard library alone.

    client = Client("http://127.0.0.1:8000")
    answer = client.predict("lung_tumour", patient, plan)

Answers are the service's own, as plain data. One connection is kept open; a client belongs to one thread.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from neurotwin.errors import InputError

Document = Mapping[str, Any]
TRIES = 3
LARGEST_ANSWER = 64 * 2**20


class ServiceError(InputError):
    """The service refused, or could not be reached.

    Attributes:
        status: HTTP's, 0 where no answer came.
        error: the service's own code, such as ``NT-2700``.
    """

    code = "NT-5900"

    def __init__(self, what: str, *, status: int = 0, error: str = "", where: str = "", expected: str = "") -> None:
        super().__init__(what, where=where, expected=expected)
        self.status, self.error = status, error


class Client:
    """Asks one service.

    Args:
        url: such as ``http://127.0.0.1:8000``.
        token: where the service asks for one. It is sent as a header, never in an address.
        timeout: seconds that one answer may take.

    All methods raise ServiceError. A service that is busy (503) is asked again up to three times, as it says.
    """

    def __init__(self, url: str, *, token: str = "", timeout: float = 30.0) -> None:
        kind, host, port = _place(url)
        self._connection = kind(host, port, timeout=timeout)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def models(self) -> list[dict[str, Any]]:
        """The models that answer."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/models")["models"]
        return found

    def signature(self, model: str) -> dict[str, Any]:
        """A model's channels, units, ranges and limits."""
        found: dict[str, Any] = self._call("GET", f"/v1/models/{_word(model)}")["signature"]
        return found

    def predict(self, model: str, patient: Document | str, plan: Document) -> dict[str, Any]:
        """Forecast under one plan; ``patient`` is a document, or the id of a stored twin (so below)."""
        return self._ask(model, "predict", patient=patient, plan=plan)

    def compare(self, model: str, patient: Document | str, plans: Sequence[Document]) -> dict[str, Any]:
        """One answer for each plan, and paired differences."""
        return self._ask(model, "compare", patient=patient, plans=list(plans))

    def risk(
        self, model: str, patient: Document | str, event: Document, horizon: Document, plan: Document | None = None
    ) -> dict[str, Any]:
        """Probability of crossing a threshold."""
        return self._ask(model, "risk", patient=patient, event=event, horizon=horizon, plan=plan)

    def explain(self, model: str, patient: Document | str, plan: Document, target: Document) -> dict[str, Any]:
        """What a forecast rests on."""
        return self._ask(model, "explain", patient=patient, plan=plan, target=target)

    def optimise(
        self,
        model: str,
        patient: Document | str,
        plan: Document,
        goal: Document,
        constraints: Document,
        budget: Document | None = None,
    ) -> dict[str, Any]:
        """A front of plans within limits."""
        asked = {"plan": plan, "goal": goal, "constraints": constraints, "budget": budget}
        return self._ask(model, "optimise", patient=patient, **asked)

    def observe(self, patient: Document, *, model: str = "", key: str = "") -> dict[str, Any]:
        """Tell a stored twin what happened. With a ``key`` of your own it may be told again safely."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/v1/twins/{_word(str(patient.get('id', '')))}/observe"
        return self._call("POST", path, patient, headers, model=model)

    def forecast(self, id: str, plan: Document, *, model: str = "", keep: bool = True) -> dict[str, Any]:
        """Ask a stored twin; the answer is kept unless ``keep`` is false."""
        return self._call("POST", f"/v1/twins/{_word(id)}/forecast", {"plan": plan, "keep": keep}, model=model)

    def alerts_of(self, model: str, patient: Document | str, policy: Document | None = None) -> dict[str, Any]:
        """What is odd in a record, by a policy."""
        return self._ask(model, "alerts", patient=patient, policy=policy)

    def alerts(self, id: str, *, model: str = "") -> dict[str, Any]:
        """What a stored twin finds odd."""
        return self._call("GET", f"/v1/twins/{_word(id)}/alerts", model=model)

    def live_alerts(self, id: str, *, model: str = "") -> Iterator[dict[str, Any]]:
        """Events ``{"version", "alerts"}`` as they happen, without end; the connection serves nothing else then."""
        path = f"/v1/twins/{_word(id)}/alerts/live" + (f"?{urlencode({'model': model})}" if model else "")
        response = self._send("GET", path, None, {})
        if response.status != 200:
            raise _refusal(response.status, response.read(LARGEST_ANSWER))
        while line := response.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def record(self, id: str) -> dict[str, Any]:
        """What is kept of a patient."""
        return self._call("GET", f"/v1/twins/{_word(id)}")

    def retract(self, id: str, request: str) -> dict[str, Any]:
        """Take back what a request brought."""
        return self._call("POST", f"/v1/twins/{_word(id)}/retract", {"request": request})

    def forget(self, id: str) -> None:
        """Erase a patient."""
        self._call("DELETE", f"/v1/twins/{_word(id)}")

    def patients(self, **query: Any) -> list[dict[str, Any]]:
        """The overview; ``query`` as in `neurotwin.store.Filter`."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/twins", **query)["patients"]
        return found

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, model: str, verb: str, **parts: Any) -> dict[str, Any]:
        told = {name: part for name, part in parts.items() if part is not None}
        return self._call("POST", f"/v1/twins/{_word(model)}/{verb}", told)

    def _call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> dict[str, Any]:
        told = {name: value for name, value in query.items() if value not in ("", None)}
        target = path + (f"?{urlencode(told)}" if told else "")
        for number in range(TRIES):
            response = self._send(method, target, body, headers or {})
            content = response.read(LARGEST_ANSWER)
            if response.status != 503 or number + 1 == TRIES:
                break
            time.sleep(min(float(response.headers.get("Retry-After", 1)), 5.0))
        if response.status != 200:
            raise _refusal(response.status, content)
        answer: dict[str, Any] = json.loads(content)
        return answer

    def _send(self, method: str, target: str, body: Any, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        try:
            content = None if body is None else json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError):
            raise ServiceError("not plain finite data", where="document", expected="what JSON can say") from None
        told = {**self._headers, "Content-Type": "application/json", **headers}
        kept = self._connection.sock is not None
        try:
            self._connection.request(method, target, content, told)
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # A kept connection may have ended meanwhile; only what changes nothing is sent again unasked.
            if kept and (method == "GET" or "/observe" not in target or "Idempotency-Key" in headers):
                return self._send(method, target, body, headers)
            name = type(error).__name__
            raise ServiceError(f"the service does not answer ({name})", where=self._connection.host) from None


def _place(url: str) -> tuple[type[http.client.HTTPConnection], str, int | None]:
    try:
        place = urlsplit(url)
        host, port = place.hostname, place.port
    except ValueError:  # a port that is no number, brackets that do not close
        host = None
    if not host or place.scheme not in ("http", "https") or place.path.strip("/"):
        raise ServiceError("not the address of a service", where="client", expected="http://HOST:PORT")
    return http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection, host, port


def _word(text: str) -> str:
    return quote(text, safe="")


def _refusal(status: int, content: bytes) -> ServiceError:
    try:
        told = json.loads(content)["error"]
        return ServiceError(
            str(told["message"]),
            status=status,
            error=str(told["code"]),
            where=str(told.get("where", "")),
            expected=str(told.get("expected", "")),
        )
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"an answer of status {status}", status=status, where="service")
