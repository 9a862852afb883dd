"""The two servers, each in a process of its own."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

BUNDLE = Path(__file__).resolve().parents[2] / "checkpoints" / "lung_tumour@0.1.0"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 30.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(place: tuple[str, int]) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < PATIENCE:
        try:
            socket.create_connection(place, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"no server at {place[0]}:{place[1]}")


@contextmanager
def neurotwin(folder: Path, bundle: Path = BUNDLE) -> Iterator[tuple[tuple[str, int], psutil.Process]]:
    """`neurotwin serve` of a bundle, by default the released tumour one; one worker, audit log on."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "neurotwin", "serve", str(bundle), "--port", "0"]
    with log.open("w") as file:
        process = subprocess.Popen([*command, "--audit", str(folder / "audit.jsonl")], stderr=file, env=ENVIRONMENT)
    try:
        begin = time.monotonic()
        while not (found := re.search(r"http://([\d.]+):(\d+)", log.read_text())):
            if process.poll() is not None or time.monotonic() - begin > PATIENCE:
                raise SystemExit(f"neurotwin serve did not start: {log.read_text()}")
            time.sleep(0.05)
        place = (found[1], int(found[2]))
        _wait(place)
        yield place, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def echo() -> Iterator[tuple[str, int]]:
    """The bare echo, one worker."""
    place = ("127.0.0.1", _free_port())
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serve.echo:app", "--port", str(place[1])]
    where = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([*command, "--log-level", "error", "--no-access-log"], env=ENVIRONMENT, cwd=where)
    try:
        _wait(place)
        yield place
    finally:
        process.terminate()
        process.wait(PATIENCE)
