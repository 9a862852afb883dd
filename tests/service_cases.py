"""Applications in this process, and real servers in their own: shared by the tests of the service."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from starlette.testclient import TestClient

from neurotwin.service import Settings, create_app

BUNDLE = Path(__file__).parents[1] / "checkpoints" / "lung_tumour@0.1.0"
EXAMPLES = json.loads(resources.files("neurotwin.service").joinpath("examples.json").read_text(encoding="utf-8"))
BASE = "http://127.0.0.1:8000"


def body(name):
    """A fresh example body."""
    return json.loads(json.dumps(EXAMPLES[name]))


@contextmanager
def application(folder, **settings):
    """A client of an application with an audit log in ``folder``."""
    told = {"bundles": (str(BUNDLE),), "audit": str(folder / "audit.jsonl"), **settings}
    with TestClient(create_app(Settings(**told)), base_url=BASE, raise_server_exceptions=True) as client:
        client.audit = Path(told["audit"])
        yield client


class Serving:
    """A ``neurotwin serve`` process; ``url`` is its base."""

    def __init__(self, folder, *words):
        self.folder, self.audit, self.log = folder, folder / "audit.jsonl", folder / "serve.log"
        command = [sys.executable, "-m", "neurotwin", "serve", str(BUNDLE), "--port", "0", "--audit", str(self.audit)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *words], stderr=log, stdout=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        self.url = self._wait()

    def _wait(self):
        for _ in range(600):
            found = re.search(r"on (http://\S+)", self.log.read_text())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.05)
        assert found, self.log.read_text()
        return found[1]

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)
