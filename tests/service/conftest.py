"""Clients of applications, and real servers."""

import signal

import pytest
from service_cases import Serving, application


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """The tumour bundle, without a store."""
    with application(tmp_path_factory.mktemp("client")) as opened:
        yield opened


@pytest.fixture
def stored(tmp_path):
    """The tumour bundle with an empty SQLite store."""
    with application(tmp_path, store=str(tmp_path / "twins.db")) as opened:
        yield opened


@pytest.fixture
def serve(tmp_path):
    """Function: start a real server with more words on its command line."""
    started = []

    def start(*words):
        started.append(Serving(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        one.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    """One real server with a store, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("serving")
    one = Serving(folder, "--store", str(folder / "twins.db"))
    yield one
    one.stop()
