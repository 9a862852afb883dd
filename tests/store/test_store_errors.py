"""Databases that cannot serve: one clear line, exit code 2, never the address, a password or a value."""

import os
import pwd
import sqlite3
import subprocess
import sys
import traceback

import pytest
from sqlalchemy import text
from store_cases import visit

from neurotwin.errors import StoreBusyError, StoreError
from neurotwin.store import Store

SECRET = "hunter2-canary"


def refused(url, **options):
    """The message of the refusal, and all that a log with its traceback would tell."""
    with pytest.raises(StoreError) as caught:
        Store.open(url, **options)
    assert caught.value.exit_code == 2
    line, told = str(caught.value), "".join(traceback.format_exception(caught.value))
    assert "\n" not in line and SECRET not in told and "hostname-canary" not in told
    return line


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@hostname-canary/x",
        f"postgresql+nodriver://u:{SECRET}@hostname-canary/x",
        f"://u:{SECRET}@hostname-canary",
        f"postgresql://u:{SECRET}@hostname-canary:port/x",
        f"sqlite:///x.db?key={SECRET}",
        "sqlite://",
        ":memory:",
        "",
    ],
)
def test_addresses_of_another_kind(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "SQLite file, or postgresql://" in refused(url)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there():
    line = refused(f"postgresql://u:{SECRET}@127.0.0.1:1/hostname-canary")
    assert "OperationalError" in line and "PostgreSQL store" in line


@pytest.mark.service
def test_a_database_that_is_not_there(cluster):
    line = refused(cluster.url("owner").replace("@/postgres", f":{SECRET}@/hostname-canary"))
    assert "did not answer" in line or "no such database" in line


def test_a_folder_that_is_not_there(tmp_path):
    assert "no such folder; at twins.db" in refused(tmp_path / "none" / "twins.db")
    assert "not a file" in refused(tmp_path)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "twins.db"
    path.touch(0o600)
    path.write_text(f"{SECRET} " * 200)
    assert "not a store, or damaged" in refused(path)
    assert path.read_text() == f"{SECRET} " * 200


def test_a_damaged_file(tmp_path, predictor):
    path = tmp_path / "twins.db"
    with Store.open(path) as store:
        store.observe("p-1", visit(0), predictor)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(StoreError), Store.open(path) as store:
        store.history("p-1")


def test_a_file_that_others_may_read(tmp_path):
    path = tmp_path / "twins.db"
    Store.open(path).close()
    path.chmod(0o644)
    assert "others may read the file" in refused(path) and "chmod 600" in refused(path)


def test_a_locked_file(tmp_path):
    path = tmp_path / "twins.db"
    Store.open(path).close()
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="held by others for 0.1 s; at twins.db"):
            Store.open(path, patience=0.1)
    holder.close()
    Store.open(path).close()


def test_a_read_only_folder(tmp_path):
    """As another user where the test is root's, who may write everywhere."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    Store.open(folder / "twins.db").close()
    folder.chmod(0o500)
    try:
        if os.geteuid() != 0:
            assert "cannot be written" in refused(folder / "twins.db")
            return
        nobody = pwd.getpwnam("nobody")
        for path in (folder, folder / "twins.db"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.chdir(folder)
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
                os.write(write, refused("twins.db").encode())
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with os.fdopen(read) as told:
            assert "cannot be written" in told.read()
    finally:
        folder.chmod(0o700)


def test_a_table_that_is_gone(store, predictor):
    with store._database.writing() as connection:
        connection.execute(text("DROP TABLE observations"))
    with pytest.raises(StoreError, match="did not answer as it should") as caught:
        store.observe("p-1", visit(0), predictor)
    told = "".join(traceback.format_exception(caught.value))
    assert "20.0" not in told and "p-1" not in str(caught.value)
    assert store.patients() == []  # nothing half-written


def test_without_the_extra():
    code = "import sys; sys.modules['alembic'] = None; import neurotwin.store"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'neurotwin[store]'" in done.stderr
