"""Several writers at once, and writers that are killed: nothing is lost, nothing is half-written."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import store_cases
from sqlalchemy import func, select
from store_cases import visit

from neurotwin.errors import StoreBusyError, StoreConflictError
from neurotwin.runtime import PatientDocument, Twin, parse_document
from neurotwin.store import Store, records
from neurotwin.store.tables import observations, patients, states, statics, treatments


@contextmanager
def writer(url, number, count):
    """A process that observes; it waits for a line before it begins."""
    command = [sys.executable, store_cases.__file__, url, str(number), str(count)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def begin(*processes):
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def check_whole(store, predictor):
    """Each document has all its rows, versions have no gap, and the kept state is that of a replay."""
    entries = store.history("p-1")
    for entry in entries:
        first = int(entry.document.observations[0].t)
        assert entry.document == parse_document(PatientDocument, visit(first), "patient")
    assert [entry.version for entry in entries] == list(range(1, len(entries) + 1))
    with store._database.reading() as connection:
        count = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (observations, treatments, statics)
        }
        assert connection.execute(select(states.c.version)).scalars().all() == [len(entries)]
    assert count == {
        "observations": 3 * len(entries),
        "treatments": sum(len(entry.document.treatments) for entry in entries),
        "statics": len(entries),
    }
    fresh = Twin(predictor)
    for entry in entries:
        fresh.observe(entry.document)
    np.testing.assert_allclose(store.twin("p-1", predictor).past.state, fresh.past.state, rtol=1e-6, atol=1e-6)
    return {entry.request for entry in entries}


def test_threads_that_observe_together_lose_nothing(store, predictor):
    barrier = threading.Barrier(6)

    def observe(thread):
        barrier.wait()
        return [store.observe("p-1", visit(number * 6 + thread), predictor).version for number in range(4)]

    with ThreadPoolExecutor(6) as pool:
        versions = [version for found in pool.map(observe, range(6)) for version in found]
    assert sorted(versions) == list(range(1, 25))
    assert len(check_whole(store, predictor)) == 24


def test_the_loser_is_put_on_top_of_the_winner(store, predictor, monkeypatch):
    """Between reading and writing of one observe, another one is kept."""
    store.observe("p-1", visit(0), predictor)
    tries, read = [], Twin.observe

    def observe(twin, document):
        notes = read(twin, document)
        if not tries and getattr(document, "observations", ()) and document.observations[0].t == 5:
            tries.append(1)
            store.observe("p-1", visit(3), predictor)
        return notes

    monkeypatch.setattr(Twin, "observe", observe)
    seen = store.observe("p-1", visit(5), predictor)
    monkeypatch.undo()
    assert tries == [1] and seen.version == 3 and seen.twin.past.n_visits == 9
    check_whole(store, predictor)


def test_a_slow_writer_beside_a_fast_one_is_not_starved(address, store, predictor, monkeypatch):
    """Somebody else is faster each time, until the request holds the patient."""
    store.observe("p-1", visit(0), predictor)
    read, outcomes = Twin.observe, []
    rival = Store.open(address, patience=0.1)

    def observe(twin, document):
        if getattr(document, "observations", ()) and document.observations[0].t == 50:
            try:
                outcomes.append(rival.observe("p-1", visit(1 + len(outcomes)), predictor).version)
            except StoreBusyError:
                outcomes.append("held")
        return read(twin, document)

    monkeypatch.setattr(Twin, "observe", observe)
    assert store.observe("p-1", visit(50), predictor).version == 5
    monkeypatch.undo()
    rival.close()
    assert outcomes == [2, 3, 4, "held"]
    check_whole(store, predictor)


def test_the_same_request_from_several_threads_is_kept_once(store, predictor):
    barrier = threading.Barrier(4)

    def observe(_):
        barrier.wait()
        return store.observe("p-1", visit(0), predictor, request="once")

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(observe, range(4)))
    assert sorted(one.repeated for one in seen) == [False, True, True, True]
    assert {one.version for one in seen} == {1}


def test_processes_that_observe_together_lose_nothing(address, store, predictor):
    with writer(address, 1, 8) as one, writer(address, 2, 8) as two:
        begin(one, two)
        acknowledged = {*one.stdout.read().split(), *two.stdout.read().split()}
    assert check_whole(store, predictor) == acknowledged and len(acknowledged) == 16


@pytest.mark.fault
def test_killed_in_the_middle_nothing_is_half_written(address, predictor, tally):
    acknowledged = set()
    Store.open(address).close()
    with writer(address, 1, 10_000) as one, writer(address, 2, 10_000) as two:
        begin(one, two)
        for process, many in ((one, 9), (two, 6)):
            acknowledged |= {process.stdout.readline().strip() for _ in range(many)}
            os.kill(process.pid, signal.SIGKILL)
            acknowledged |= set(process.stdout.read().split())
    with Store.open(address) as store:
        found = check_whole(store, predictor)
        assert acknowledged <= found and len(found - acknowledged) <= 2  # kept, but not said yet
        assert store.observe("p-1", visit(5), predictor).version == len(found) + 1
    tally("kill -9 of a process that writes to the store", tried=2)


def test_processes_that_open_an_empty_database_together(address):
    code = (
        "import sys; from neurotwin.store import Store; sys.stdin.readline(); print(Store.open(sys.argv[1]).models())"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, address]
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    assert [process.communicate("\n")[0] for process in processes] == ["[]\n"] * 2


def test_erased_while_somebody_observes(store, predictor, monkeypatch):
    store.observe("p-1", visit(0), predictor)
    read, told = Twin.observe, []

    def observe(twin, document):
        if not told:
            told.append(store.forget("p-1"))
        return read(twin, document)

    monkeypatch.setattr(Twin, "observe", observe)
    with pytest.raises(StoreConflictError, match="erased meanwhile"):
        store.observe("p-1", visit(5), predictor)
    assert told == [True] and store.patients() == []


def test_ids_of_the_erased_are_not_given_out_again(store, predictor):
    def own_id():
        store.observe("p-1", visit(0), predictor)
        with store._database.reading() as connection:
            return connection.execute(select(patients.c.id)).scalar_one()

    first = own_id()
    store.forget("p-1")
    assert own_id() > first


def test_held_for_too_long(address, predictor):
    with Store.open(address) as holder, Store.open(address, patience=0.2) as store:
        store.observe("p-1", visit(0), predictor)
        with holder._database.writing() as connection:
            records.advance(connection, "p-1", records.need_patient(connection, "p-1"))
            begun = time.monotonic()
            with pytest.raises(StoreBusyError, match="held by others for 0.2 s.*again"):
                store.observe("p-1", visit(1), predictor)
            assert time.monotonic() - begun < 3
            assert store.twin("p-1", predictor).past.n_visits == 3  # readers do not wait
        assert store.observe("p-1", visit(1), predictor).version == 3


def test_a_forked_process_makes_its_own_connections(store, predictor):
    store.observe("p-1", visit(0), predictor)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            store.observe("p-1", visit(1), predictor)
            store.history("p-1")
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.observe("p-1", visit(2), predictor).version == 3
    check_whole(store, predictor)


def test_the_log_of_sqlite_is_synchronous(tmp_path):
    with Store.open(tmp_path / "twins.db") as store, store._database.reading() as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 10_000}
    assert told == expected and Path(tmp_path / "twins.db").is_file()
