"""What a store does not keep, does not tell, and erases."""

import logging
import stat

from sqlalchemy import select
from store_cases import PLAN, visit

from neurotwin.store import Store
from neurotwin.store.tables import metadata

CANARY = "Wolfeschlegelstein"
VALUE = 21.28515625


def personal():
    told = visit(0)
    told["observations"][0]["value"] = VALUE
    told["static"] |= {"surname": CANARY, "patient_type": CANARY}
    return told


def content(store):
    with store._database.reading() as connection:
        return {name: connection.execute(select(table)).all() for name, table in metadata.tables.items()}


def test_free_text_is_not_kept_and_a_fault_stays_one(store, predictor):
    notes = store.observe("p-1", personal(), predictor).notes
    assert CANARY not in repr(content(store))
    assert {"at": "static.surname", "why": "unknown covariate"} in notes.ignored
    assert store.history("p-1")[0].document.static == {"stage": "II", "patient_type": ""}
    with store._database.writing() as connection:
        connection.execute(metadata.tables["states"].delete())
    assert store.twin("p-1", predictor).notes.refused == notes.refused != {}


def test_no_value_in_any_log(address, predictor, caplog):
    caplog.set_level(logging.DEBUG)
    with Store.open(address) as store:
        twin = store.observe("p-1", personal(), predictor).twin
        store.save_forecast("p-1", predictor, PLAN, twin.forecast(PLAN))
        store.twin("p-1", predictor)
        store.forget("p-1")
    assert CANARY not in caplog.text and str(VALUE) not in caplog.text


def test_an_erased_patient_leaves_nothing(store, predictor):
    for name in ("p-1", "p-2"):
        twin = store.observe(name, visit(0, name), predictor, request=f"{name}-request").twin
        store.save_forecast(name, predictor, PLAN, twin.forecast(PLAN), risk=0.5)
    before = content(store)
    assert store.forget("p-1")
    after = content(store)
    assert "p-1" not in repr(after)
    halved = {"models": 1, "neurotwin_store": 1}
    for name, rows in after.items():
        assert len(rows) == halved.get(name, len(before[name]) / 2), name
    assert not store.forget("p-1")
    assert store.twin("p-2", predictor).past.n_visits == 3
    assert store.observe("p-1", visit(1), predictor).version == 1  # a new patient


def test_an_erased_patient_is_gone_from_the_file(tmp_path, predictor):
    with Store.open(tmp_path / "twins.db") as store:
        store.observe("keep-1", visit(0, "keep-1"), predictor)
        store.observe("canary-77", visit(0, "canary-77"), predictor)

        def on_disk(word):
            return [path.name for path in tmp_path.iterdir() if word in path.read_bytes()]

        assert on_disk(b"canary-77") and on_disk(b"keep-1")
        store.forget("canary-77")
        assert on_disk(b"canary-77") == [] and on_disk(b"keep-1")


def test_files_are_their_owners_alone(tmp_path, predictor):
    with Store.open(f"sqlite:///{tmp_path}/twins.db") as store:
        store.observe("p-1", visit(0), predictor)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"twins.db": 0o600, "twins.db-wal": 0o600, "twins.db-shm": 0o600}
