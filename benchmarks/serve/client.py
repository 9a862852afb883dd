"""An asynchronous HTTP/1.1 client for load: one connection each, requests one after the other, answers checked."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Question:
    """A request, and what its answer must hold: every question has an answer of its own."""

    content: bytes
    expected: bytes


@dataclass
class Load:
    """What came of some seconds of load.

    Attributes:
        seconds: of each answer, from the first byte sent to the last received.
        wrong: answers that are not the question's own.
        refused: answers with another status than 200.
    """

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    refused: int = 0
    wall: float = 0.0

    def row(self, name: str, clients: int) -> dict[str, Any]:
        """For the table."""
        at = np.array(self.seconds) * 1e3
        return {
            "what": name,
            "clients": clients,
            "requests": len(at),
            "per_second": len(at) / self.wall,
            "p50_ms": float(np.median(at)),
            "p99_ms": float(np.quantile(at, 0.99)),
            "wrong": self.wrong,
            "refused": self.refused,
        }


def request(path: str, host: str, body: bytes) -> bytes:
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _client(
    place: tuple[str, int], questions: Sequence[Question], rng: random.Random, end: float, load: Load
) -> None:
    reader, writer = await asyncio.open_connection(*place)
    try:
        while time.perf_counter() < end:
            question = rng.choice(questions)
            begin = time.perf_counter()
            writer.write(question.content)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(size)
            load.seconds.append(time.perf_counter() - begin)
            if not head.startswith(b"HTTP/1.1 200"):
                load.refused += 1
            elif question.expected not in body:
                load.wrong += 1
    finally:
        writer.close()
        await writer.wait_closed()


async def _half_open(place: tuple[str, int], ended: asyncio.Event) -> None:
    """A connection that sends a head bit by bit and never ends it; a new one when the server closes it."""
    while not ended.is_set():
        reader, writer = await asyncio.open_connection(*place)
        try:
            writer.write(b"POST /v1/twins/lung_tumour/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            while not ended.is_set() and not reader.at_eof():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(1.0)
        except OSError:
            await asyncio.sleep(0.2)
        finally:
            writer.close()


async def _together(
    place: tuple[str, int], questions: Sequence[Question], clients: int, seconds: float, half_open: int
) -> Load:
    load, ended = Load(), asyncio.Event()
    slow = [asyncio.create_task(_half_open(place, ended)) for _ in range(half_open)]
    await asyncio.sleep(1.0 if half_open else 0.0)
    begin = time.perf_counter()
    rngs = [random.Random(number) for number in range(clients)]
    await asyncio.gather(*(_client(place, questions, rng, begin + seconds, load) for rng in rngs))
    load.wall = time.perf_counter() - begin
    ended.set()
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return load


def run_load(
    place: tuple[str, int], questions: Sequence[Question], *, clients: int, seconds: float, half_open: int = 0
) -> Load:
    """Ask for so many seconds, from so many connections at once, beside others that never end their request."""
    return asyncio.run(_together(place, questions, clients, seconds, half_open))
