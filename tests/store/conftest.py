"""Stores in both databases. PostgreSQL is a real one, started once for all tests of a process."""

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from postgresql_cluster import BINARIES, Cluster
from store_cases import BUNDLE

from neurotwin.runtime import Predictor
from neurotwin.store import Store

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def predictor():
    """The released tumour bundle."""
    return Predictor.load(BUNDLE)


@pytest.fixture
def other(copy_of, rehash):
    """The same graphs released as another version."""
    folder = copy_of(BUNDLE)
    rehash(folder, version="0.2.0")
    return Predictor.load(folder)


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    own = Cluster(folder, BINARIES[-1].parent)
    try:
        own.start()
        try:
            yield own
        finally:
            own.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def new_database(cluster):
    """Function: make an empty database and give its URL."""
    import psycopg

    def make():
        name = f"store{next(NUMBERS)}"
        with psycopg.connect(host=str(cluster.folder), user="owner", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return cluster.url("owner").replace("@/postgres", f"@/{name}")

    return make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def address(request, tmp_path):
    """Address of a database that is empty."""
    if request.param == "sqlite":
        return str(tmp_path / "twins.db")
    return request.getfixturevalue("new_database")()


@pytest.fixture
def store(address):
    """An empty store."""
    with Store.open(address) as opened:
        yield opened
