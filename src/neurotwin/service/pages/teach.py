"""Teaching: a simulated patient is stepped through decisions, and at the end the mechanistic truth is shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.errors import DocumentError, InputError
from neurotwin.pages.markup import text
from neurotwin.runtime import Predictor, parse_document
from neurotwin.runtime.documents import TreatmentRecord
from neurotwin.runtime.kinds import Flag, ListOf, Number, Record, has
from neurotwin.service.asking import told
from neurotwin.service.door import Door
from neurotwin.service.faults import NotOffered
from neurotwin.service.pages.frame import field, page
from neurotwin.service.pages.patient import choose_model, told_of

if TYPE_CHECKING:
    from neurotwin.service.pages.lesson import Lesson

router = APIRouter()
MOST_VISITS, MOST_DOSES, LARGEST_NUMBER = 200, 500, 10**6


@dataclass(frozen=True)
class LessonQuestion:
    """Where a lesson stands. With ``reveal`` the truth is told: with what was given, and had nothing been given."""

    number: float = has(Number())
    visits: tuple[float, ...] = has(ListOf(Number(), MOST_VISITS))
    treatments: tuple[TreatmentRecord, ...] = has(ListOf(Record(TreatmentRecord), MOST_DOSES), default=())
    reveal: bool = has(Flag(), default=False)


@router.get("/teach")
async def teach(request: Request, model: str | None = None) -> Response:
    """The page; says what is missing where no lesson can be given."""
    door = Door.of(request)
    predictor = door.chosen(model if model is not None else next(iter(door.models)))
    try:
        lesson = await door.compute(partial(_lesson, door, predictor))
    except InputError as error:
        words = text(
            ". ".join(filter(None, (error.what, error.expected and f"Needed: {error.expected}", error.remedy)))
        )
        main = f'<section class="card narrow"><h1>Teaching</h1><p class="fault" role="alert">{words}.</p></section>'
        return page(request, "Teaching", choose_model(door, predictor, "/teach") + main)
    about = {"horizon": lesson.horizon, "interval": lesson.interval, "most": LARGEST_NUMBER}
    name = type(lesson.simulator).__name__
    main = MAIN.format(choose=choose_model(door, predictor, "/teach"), simulator=text(name), number=_number())
    return page(request, "Teaching", main, script="teach.js", data=told_of(predictor) | {"lesson": about})


@router.post("/teach/{model}")
async def step(request: Request, model: str) -> Response:
    """The record of a simulated patient, with the truth once it is asked for."""
    door = Door.of(request)
    predictor = door.model(model)
    body = await request.body()
    _, answer = await told(request, partial(_step, door, predictor, body))
    return answer


def _lesson(door: Door, predictor: Predictor) -> Lesson:
    if not door.settings.teach:
        raise NotOffered("no lessons here", where="service", remedy="start it with: neurotwin serve --teach")
    from neurotwin.service.pages.lesson import Lesson  # simulators need an extra

    return Lesson.of(predictor)


def _step(door: Door, predictor: Predictor, body: bytes) -> dict[str, Any]:
    lesson = _lesson(door, predictor)
    asked = parse_document(LessonQuestion, body, "body")
    times = asked.visits
    if asked.number != int(asked.number) or not 0 <= asked.number < LARGEST_NUMBER:
        raise DocumentError("not a patient's number", where="body: number", expected=f"0 to {LARGEST_NUMBER - 1}")
    if not times or times[0] < 0 or any(b <= a for a, b in zip(times, times[1:], strict=False)):
        raise DocumentError("no times that rise", where="body: visits", expected="times from 0 on, each later")
    if times[-1] > lesson.horizon or any(not 0 <= one.t <= lesson.horizon for one in asked.treatments):
        raise DocumentError("a time after the end", where="body", expected="times within the lesson's horizon")
    number = int(asked.number)
    content: dict[str, Any] = {"patient": lesson.patient(number, times, asked.treatments)}
    if asked.reveal:
        content["truth"] = lesson.truth(number, times, asked.treatments)
        content["untreated"] = lesson.truth(number, times, ())
    return content


def _number() -> str:
    control = f'<input id="number" type="number" min="0" max="{LARGEST_NUMBER - 1}" step="1" value="1">'
    return field("Patient number", control)


MAIN = """<div class="head"><div><h1>Teaching: decide, wait, see</h1>
<p class="lead">A patient is simulated by {simulator}, the mechanistic model behind this twin's training. You decide
what is given; the clock moves on; a new measurement comes. The twin sees what you see.
At the end the truth is shown.</p></div>
<div class="choices">{choose}</div></div>
<p id="news" class="sr" role="status" aria-live="polite"></p>
<div class="desk"><div class="side">
<section class="card" aria-labelledby="h-who"><h2 id="h-who">Simulated patient</h2>
<form id="begin" class="row">{number}<button>Begin anew</button></form><dl id="who" class="about"></dl></section>
<section class="card" aria-labelledby="h-decide"><h2 id="h-decide">Your decision</h2>
<p id="clock" class="headline"></p>
<form id="decide"><div id="choices"></div><p class="buttons"><button class="main" id="go">Give and go on</button>
<button type="button" id="finish">Finish and show the truth</button></p></form>
<p class="fault" id="fault" role="alert" hidden></p></section></div>
<div class="stage"><section class="card" aria-labelledby="h-course"><h2 id="h-course">Course</h2>
<div id="said"></div><ul id="legend" class="key"></ul><div id="curves"></div></section>
<section class="card" aria-labelledby="h-past"><h2 id="h-past">Decisions so far</h2><div id="past"><p class="hint">None
yet.</p></div></section></div></div>"""
