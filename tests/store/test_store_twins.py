"""Twins that live in a store: what was told comes back, states follow it, requests count once."""

import dataclasses

import numpy as np
import pytest
from sqlalchemy import select, update
from store_cases import BUNDLE, PLAN, visit

from neurotwin.errors import DocumentError, StoreConflictError, UnknownPatientError
from neurotwin.runtime import PatientDocument, Predictor, Reason, Twin, parse_document
from neurotwin.store import Store
from neurotwin.store.tables import documents, observations, states


def replayed(predictor, *told):
    twin = Twin(predictor)
    for document in told:
        twin.observe(document)
    return twin


def same(one, other):
    assert one.past.clock == other.past.clock and one.past.support == pytest.approx(other.past.support, rel=1e-6)
    np.testing.assert_allclose(one.past.state, other.past.state, rtol=1e-6, atol=1e-6)
    assert one.notes.refused == other.notes.refused and one.notes.warned == other.notes.warned
    assert one.forecast(PLAN)["prediction"] == other.forecast(PLAN)["prediction"]


def rows(store, table):
    with store._database.reading() as connection:
        return connection.execute(select(table)).all()


def test_a_twin_survives_its_process(address, predictor):
    told = [visit(number) for number in (0, 4, 9, 2)]  # the last comes late
    with Store.open(address) as store:
        for number, document in enumerate(told):
            seen = store.observe("p-1", document, predictor)
            assert seen.version == number + 1 and not seen.repeated
    with Store.open(address) as store:
        loaded = store.load("p-1", predictor)
        same(loaded.twin, replayed(predictor, *told))
        assert loaded.version == 4
        assert [entry.document for entry in store.history("p-1")] == [
            parse_document(PatientDocument, document, "patient") for document in told
        ]
        assert loaded.twin.forecast(PLAN)["status"] == "ok"


def test_the_kept_state_is_taken_as_it_is(store, predictor, monkeypatch):
    for number in range(3):
        store.observe("p-1", visit(number), predictor)
    with monkeypatch.context() as patch:
        patch.setattr(predictor._assimilate, "run", None)
        twin = store.twin("p-1", predictor)
    same(twin, replayed(predictor, *map(visit, range(3))))


def test_all_fields_of_a_document_come_back(store, predictor):
    told = {
        "id": "p-1",
        "time_unit": "h",
        "index_time": "2026-01-05T08:00",
        "now": 0.1 + 0.2,
        "static": {"stage": "II", "weight": {"value": 70, "unit": "kg"}, "height": {"value": 1.7, "unit": None}},
        "observations": [
            {"t": -1e-300, "variable": "tumour_volume", "value": 1 / 3, "unit": "cm3", "post_dose": True},
            {"t": 2, "variable": "µ-marker", "value": 10**25, "unit": None},
        ],
        "treatments": [
            {"t": 0, "treatment": "chemotherapy", "amount": 1.5, "unit": "mg/m3"},
            {"t": 1, "t_end": 3, "treatment": "drip", "rate": 2, "unit": "mg/h"},
            {"t": 1, "treatment": "pump", "level": 0},
        ],
    }
    notes = store.observe("p-1", told, predictor).notes
    assert Reason.UNKNOWN_TREATMENT in notes.refused
    assert store.history("p-1")[0].document == parse_document(PatientDocument, told, "patient")
    assert store.twin("p-1", predictor).notes.refused == notes.refused


def test_an_empty_document_counts(store, predictor):
    assert store.observe("p-1", {"id": "p-1", "time_unit": "d"}, predictor).version == 1
    assert store.twin("p-1", predictor).forecast(PLAN)["status"] == "abstain"


def test_the_same_request_is_kept_once(store, predictor):
    first = store.observe("p-1", visit(0), predictor, request="k1")
    again = store.observe("p-1", visit(0), predictor, request="k1")
    assert not first.repeated and again.repeated and again.version == 1
    same(again.twin, first.twin)
    assert len(store.history("p-1")) == 1 and len(rows(store, observations)) == 3
    with pytest.raises(StoreConflictError, match="another document"):
        store.observe("p-1", visit(1), predictor, request="k1")
    assert store.observe("p-2", visit(1, "p-2"), predictor, request="k1").version == 1  # keys are a patient's own


def test_another_version_replays_and_refuses_the_state(store, predictor, other):
    told = [visit(number) for number in range(4)]
    for document in told[:3]:
        store.observe("p-1", document, predictor)
    with store._database.writing() as connection:  # a state that must not be taken
        broken = {**connection.execute(select(states.c.content)).scalar_one(), "state": [0.0] * 37}
        connection.execute(update(states).values(content=broken))
    same(store.twin("p-1", other), replayed(other, *told[:3]))
    assert [(one.version, one.n_states) for one in store.models()] == [("0.1.0", 1), ("0.2.0", 1)]
    # Each state goes on from where it stands when the other bundle was the one that observed.
    store.observe("p-1", told[3], other)
    with store._database.writing() as connection:
        connection.execute(states.delete().where(states.c.version == 3))
    same(store.twin("p-1", predictor), replayed(predictor, *told))
    assert {row.version for row in rows(store, states)} == {4}


def test_a_state_left_behind_catches_up_without_replay(store, predictor, other, monkeypatch):
    for number in (0, 5):
        store.observe("p-1", visit(number), predictor)
    store.observe("p-1", visit(10), other)
    walked = []
    true = predictor.assimilate
    monkeypatch.setattr(predictor, "assimilate", lambda line, state: walked.append(state) or true(line, state))
    twin = store.twin("p-1", predictor)
    assert len(walked) == 1 and walked[0] is not None
    same(twin, replayed(predictor, *map(visit, (0, 5, 10))))


def test_a_model_of_the_full_history_replays(store, copy_of, rehash):
    folder = copy_of(BUNDLE)
    text = (folder / "signature.json").read_text()
    (folder / "signature.json").write_text(text.replace('"recursive": true', '"recursive": false'))
    rehash(folder)
    predictor = Predictor.load(folder)
    assert not predictor.signature.recursive
    for number in range(4):
        seen = store.observe("p-1", visit(number), predictor)
    same(store.twin("p-1", predictor), replayed(predictor, *map(visit, range(4))))
    same(seen.twin, replayed(predictor, *map(visit, range(4))))


def test_a_state_of_another_format_is_made_again(store, predictor):
    for number in range(3):
        store.observe("p-1", visit(number), predictor)
    with store._database.writing() as connection:
        connection.execute(update(states).values(content={"format": "0"}))
    same(store.twin("p-1", predictor), replayed(predictor, *map(visit, range(3))))
    assert store.observe("p-1", visit(3), predictor).version == 4


def test_what_was_entered_in_error_is_taken_back(store, predictor):
    wrong = visit(1)
    wrong["observations"][0]["unit"] = "stone"
    store.observe("p-1", visit(0), predictor)
    store.observe("p-1", wrong, predictor, request="wrong")
    assert store.twin("p-1", predictor).forecast(PLAN)["reasons"] == ["unit_unknown"]
    assert store.retract("p-1", "wrong") == 3
    store.observe("p-1", visit(1), predictor)
    same(store.twin("p-1", predictor), replayed(predictor, visit(0), visit(1)))
    assert [entry.version for entry in store.history("p-1")] == [1, 4]
    assert [entry.retracted is not None for entry in store.history("p-1", retracted=True)] == [False, True, False]
    with pytest.raises(StoreConflictError, match="retracted"):
        store.retract("p-1", "wrong")
    with pytest.raises(StoreConflictError, match="retracted"):
        store.observe("p-1", wrong, predictor, request="wrong")


def test_the_twin_that_is_handed_out_is_the_callers_own(store, predictor):
    twin = store.observe("p-1", visit(0), predictor).twin
    twin.observe(visit(5))
    assert store.twin("p-1", predictor).past.clock == 0.5


@pytest.mark.parametrize("name", ["John Smith", "j@x.org", "", "é", "a" * 65, "../x", "-x", "a\n"])
def test_ids_are_pseudonyms(store, predictor, name):
    with pytest.raises(DocumentError, match="pseudonym|text is too long") as caught:
        store.observe(name, {**visit(0), "id": name}, predictor)
    assert not name or name not in str(caught.value)
    assert store.patients() == []


def test_documents_that_cannot_be_kept(store, predictor):
    with pytest.raises(DocumentError, match="another patient"):
        store.observe("p-2", visit(0), predictor)
    with pytest.raises(DocumentError, match="not a key"):
        store.observe("p-1", visit(0), predictor, request="two words")
    with pytest.raises(DocumentError, match="not a number"):
        store.observe("p-1", '{"id": "p-1", "time_unit": "d", "now": "x"}', predictor)
    assert rows(store, documents) == []


def test_nobody_of_that_name(store, predictor):
    store.observe("p-1", visit(0), predictor)
    for ask in (
        lambda: store.twin("p-9", predictor),
        lambda: store.history("p-9"),
        lambda: store.forecasts("p-9"),
        lambda: store.plans("p-9"),
        lambda: store.retract("p-9", "x"),
        lambda: store.retract("p-1", "x"),
        lambda: store.save_forecast("p-9", predictor, PLAN, {"status": "ok"}),
    ):
        with pytest.raises(UnknownPatientError, match="no such") as caught:
            ask()
        assert "p-9" not in str(caught.value)


def test_patients_are_kept_apart(store, predictor):
    for name, number in (("p-1", 0), ("p-2", 7), ("P-1", 3)):
        store.observe(name, visit(number, name), predictor)
    assert [store.twin(name, predictor).past.clock for name in ("p-1", "p-2", "P-1")] == [0.5, 7.5, 3.5]
    assert dataclasses.replace(store.history("p-2")[0].document) == parse_document(
        PatientDocument, visit(7, "p-2"), "patient"
    )
