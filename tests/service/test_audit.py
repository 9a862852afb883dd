"""The audit log: chained, appended to by many, silent about values."""

import json
import multiprocessing
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_cases import body

from neurotwin.errors import IntegrityError, StoreError
from neurotwin.service.audit import Audit, verify_audit


def fill(path, writer, count):
    log = Audit(path)
    for number in range(count):
        log.append({"writer": writer, "number": number})
    log.close()


def test_lines_of_many_processes_and_threads_make_one_chain(tmp_path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=fill, args=(path, writer, 50)) for writer in range(2)]
    threads = [threading.Thread(target=fill, args=(path, f"t{writer}", 50)) for writer in range(2)]
    for one in (*processes, *threads):
        one.start()
    for one in (*processes, *threads):
        one.join()
    assert verify_audit(path) == 201
    told = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len({(line["writer"], line["number"]) for line in told}) == 200


def test_threads_share_one_log(tmp_path):
    log = Audit(tmp_path / "audit.jsonl")
    threads = [threading.Thread(target=lambda: [log.append({"a": 1}) for _ in range(50)]) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert verify_audit(log.path) == 201


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    fill(path, 0, 20)
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changed_byte_breaks_the_chain(tmp_path_factory, written, data):
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != written[place]))
    path = tmp_path_factory.mktemp("flipped") / "audit.jsonl"
    path.write_bytes(written[:place] + bytes([other]) + written[place + 1 :])
    with pytest.raises(IntegrityError):
        verify_audit(path)


@pytest.mark.parametrize("change", ["drop", "swap", "repeat"])
def test_lines_that_are_dropped_moved_or_repeated_break_the_chain(tmp_path, written, change):
    lines = written.splitlines(keepends=True)
    if change == "drop":
        del lines[5]
    elif change == "swap":
        lines[5], lines[6] = lines[6], lines[5]
    else:
        lines.insert(5, lines[5])
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(IntegrityError, match="line 7" if change == "repeat" else "line 6"):
        verify_audit(path)


def test_a_line_cut_short_by_a_crash_is_taken_off(tmp_path, written):
    path = tmp_path / "audit.jsonl"
    path.write_bytes(written[:-30])
    fill(path, 1, 2)
    assert verify_audit(path) == 22


def test_a_foreign_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a log\n")
    with pytest.raises(IntegrityError):
        Audit(path)
    assert path.read_text() == "not a log\n"
    with pytest.raises(StoreError):
        Audit(tmp_path / "notes.txt" / "audit.jsonl")
    with pytest.raises(StoreError):
        verify_audit(tmp_path / "missing")


def test_the_log_tells_who_asked_what_and_no_value(stored):
    patient = body("PatientDocument")
    patient["observations"][0]["value"] = 31.2718281828
    stored.post("/v1/twins/p-17/observe", json=patient)
    stored.post("/v1/twins/p-17/forecast", json=body("ForecastQuestion"))
    text = stored.audit.read_text()
    assert verify_audit(stored.audit) == 3
    first, second = (json.loads(line) for line in text.splitlines()[1:])
    assert first["subject"] == second["subject"]
    assert (second["route"], second["model"], second["answers"]) == ("/v1/twins/{id}/forecast", "lung_tumour", ["ok"])
    assert "p-17" not in text
    assert "31.2718" not in text


def test_the_log_is_the_owners_alone(stored):
    assert stored.audit.stat().st_mode & 0o077 == 0


def test_a_line_that_the_disk_has_no_room_for_is_an_error(tmp_path, monkeypatch):
    log = Audit(tmp_path / "audit.jsonl")
    whole = os.write
    monkeypatch.setattr("neurotwin.service.audit.os.write", lambda file, text: whole(file, text[:20]))
    with pytest.raises(OSError, match="No space left"):
        log.append({"a": 1})
    monkeypatch.undo()
    log.append({"a": 2})
    assert verify_audit(log.path) == 2
