"""What a service is told: bundles, address, who may ask, and limits."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from neurotwin.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """How much one request, and all together, may take.

    Attributes:
        body, header: bytes.
        receive: seconds from the first byte of a request to its last.
        compute: seconds that an answer may take; ``search`` those of an optimisation.
        threads: answers made at once, in each worker.
        waiting: complete requests that may wait for a thread; more are told to come again.
        streams: live streams of alerts, in each worker.
        connections: open connections, in each worker.
        drain: seconds that requests under way have to end when the service stops.
    """

    body: int = 2**20
    header: int = 32 * 2**10
    receive: float = 10.0
    compute: float = 2.0
    search: float = 30.0
    threads: int = 2
    waiting: int = 128
    streams: int = 64
    connections: int = 1000
    drain: float = 10.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"{name} is not positive", where="limits", expected=f"{name} > 0")


@dataclass(frozen=True)
class Settings:
    """One service.

    Attributes:
        bundles: folders, one for each model; no two of one name.
        host, port: where it listens.
        hosts: names under which clients may reach it (the ``Host`` header); by default the address alone.
        token: what clients must show; empty where none is needed, which only loopback may do.
        store: address of the twin store; empty for none.
        audit: file of the audit log; empty for none.
        workers: processes.
        teach: whether pages offer simulated patients to learn from.
        fhir_map: file that tells which codes of FHIR stand for which channel; empty for the signatures' own alone.
    """

    bundles: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    store: str = field(default="", repr=False)
    audit: str = ""
    workers: int = 1
    teach: bool = False
    fhir_map: str = ""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ConfigError("no bundle", where="serve", expected="one or more bundle folders")
        if not self.host:
            raise ConfigError("no host", where="serve", expected="an address, such as 127.0.0.1 or 0.0.0.0")
        if not is_loopback(self.host) and not self.token:
            raise ConfigError(
                "no token", where=f"serve: host {self.host}", expected="a token, on any address but loopback"
            )
        if not 0 <= self.port < 2**16:
            raise ConfigError(f"port {self.port}", where="serve", expected="0 to 65535")
        if not 1 <= self.workers <= 256:
            raise ConfigError(f"{self.workers} workers", where="serve", expected="1 to 256")

    def to_json(self) -> str:
        """For a worker's environment. Holds the token: never print it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Back from `to_json`."""
        content: Mapping[str, Any] = json.loads(text)
        own = cls(**{**content, "limits": Limits(**content["limits"])})
        return replace(own, bundles=tuple(own.bundles), hosts=tuple(own.hosts))


def is_wildcard(host: str) -> bool:
    """Whether it stands for all addresses of this machine, those of loopback among them."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
