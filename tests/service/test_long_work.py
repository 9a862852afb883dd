"""What takes long keeps its time limit, and stands in nobody's way."""

import asyncio
import threading
import time

import numpy as np
import pytest
from service_cases import BUNDLE, application, body

from neurotwin.errors import DeadlineError, StoreBusyError
from neurotwin.runtime import PlanDocument, Predictor, Twin, parse_document
from neurotwin.runtime.deadline import check_time, time_limit
from neurotwin.runtime.differences import Told, differences
from neurotwin.service import Limits, Settings, asking, live
from neurotwin.service.door import MOST_SEARCHES, Door
from neurotwin.service.faults import Busy


def test_answers_and_differences_are_not_begun_after_the_time():
    predictor = Predictor.load(BUNDLE)
    twin = Twin.of(predictor, body("PredictQuestion")["patient"])
    (item,) = twin.ask([parse_document(PlanDocument, body("PlanDocument"), "plan")])
    pair = [
        Told("a", np.zeros((1, 1, 2)), np.ones(1), np.zeros((1, 2))),
        Told("b", np.ones((1, 1, 2)), np.ones(1), np.zeros((1, 2))),
    ]
    assert twin.answer(item)["status"] == "ok"
    assert differences(predictor, pair, 0.0).rows[0]["median"] == 1.0
    check_time()
    with time_limit(0.0):
        for late in (
            check_time,
            lambda: twin.answer(item),
            lambda: differences(predictor, pair, 0.0),
            lambda: asking.written({}, "x"),
        ):
            with pytest.raises(DeadlineError):
                late()


def test_a_small_question_with_a_huge_answer_ends_in_time(tmp_path):
    # 50 plans are 1225 pairs: at 300 times each, tens of megabytes would be written for a question of 5 KB.
    asked = body("CompareQuestion")
    query = {"every": 0.1, "until": 30}
    asked["plans"] = [{"name": f"p{n}", "time_unit": "d", "query": query} for n in range(50)]
    with application(tmp_path, limits=Limits(compute=0.4)) as client:
        response = client.post("/v1/twins/lung_tumour/compare", json=asked)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "NT-4100")


def test_answers_are_written_beside_the_event_loop(stored, monkeypatch):
    names, write = [], asking.written

    def watched(*given):
        names.append(threading.current_thread().name)
        return write(*given)

    monkeypatch.setattr(asking, "written", watched)
    assert stored.post("/v1/twins/p-17/observe", json=body("PatientDocument")).status_code == 200
    assert stored.post("/v1/twins/lung_tumour/compare", json=body("CompareQuestion")).status_code == 200
    for path in ("/v1/twins", "/v1/twins/p-17", "/v1/twins/p-17/alerts"):
        assert stored.get(path).status_code == 200
    assert len(names) == 5
    assert all(name.startswith("answer") for name in names)


def test_searches_leave_a_thread_to_short_answers():
    door, hold, begun = Door(Settings(bundles=(str(BUNDLE),), limits=Limits(threads=2))), threading.Event(), []

    def long():
        begun.append(threading.current_thread().name)
        return hold.wait(30)

    async def walk():
        searches = [asyncio.create_task(door.search(long)) for _ in range(MOST_SEARCHES)]
        try:
            await asyncio.sleep(0.05)
            assert await asyncio.wait_for(door.compute(lambda: "short"), 10) == "short"
            assert len(begun) == 1
            with pytest.raises(Busy):
                await door.search(long)
        finally:
            hold.set()
        assert all(await asyncio.gather(*searches))
        assert await door.search(lambda: "again") == "again"

    asyncio.run(walk())
    assert len(begun) == MOST_SEARCHES
    door.close()


def test_a_search_ends_with_the_service():
    door, begun = Door(Settings(bundles=(str(BUNDLE),))), threading.Event()

    def long():
        begun.set()
        for _ in range(2000):
            check_time()
            time.sleep(0.01)

    async def walk():
        search = asyncio.create_task(door.search(long))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        door.drain(0.05)
        with pytest.raises(DeadlineError):
            await search
        with pytest.raises(Busy):
            await door.compute(lambda: "late")

    begin = time.monotonic()
    asyncio.run(walk())
    assert time.monotonic() - begin < 10
    door.close()


def test_a_version_that_cannot_be_one_is_none():
    assert [live._version(text) for text in ("7", "", "-1", "x", "9" * 5000)] == [7, -1, -1, -1, -1]


def test_streams_that_began_meanwhile_count(stored, monkeypatch):
    stored.post("/v1/twins/p-17/observe", json=body("PatientDocument"))
    door = stored.app.state.door
    compute = door.compute

    async def slow(work, **more):
        found = await compute(work, **more)
        door.streams = door.settings.limits.streams
        return found

    monkeypatch.setattr(door, "compute", slow)
    assert stored.get("/v1/twins/p-17/alerts/live").status_code == 503


def test_a_stream_outlives_a_busy_store_and_ends_with_its_patient(stored, monkeypatch):
    first = body("PatientDocument")
    stored.post("/v1/twins/p-17/observe", json=first)
    door = stored.app.state.door
    store, predictor = door.store, next(iter(door.models.values()))
    monkeypatch.setattr(live, "LOOK", 0.01)
    version, refused = store.version, []

    def busy(patient):
        if len(refused) < 3:
            refused.append(patient)
            raise StoreBusyError("the store is busy", where="store")
        return version(patient)

    monkeypatch.setattr(store, "version", busy)

    class Asking:
        async def is_disconnected(self):
            return False

    async def walk():
        stream = live._events(Asking(), door, store, predictor, "p-17", live._look(store, predictor, "p-17"), -1)
        assert b"id: 1" in await anext(stream)
        seen = [{"t": 21, "variable": "tumour_volume", "value": 400.0, "unit": "cm3"}]
        store.observe("p-17", {**first, "treatments": [], "observations": seen}, predictor)
        assert b"id: 2" in await asyncio.wait_for(anext(stream), 20)
        store.forget("p-17")
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 20)

    asyncio.run(walk())
    assert len(refused) == 3 and door.streams == 0
