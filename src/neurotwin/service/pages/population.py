"""All patients of the store at a glance: the last forecast and the risk of each, highest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.pages.markup import text, unit_text
from neurotwin.service.door import Door
from neurotwin.service.pages.frame import field as labelled
from neurotwin.service.pages.frame import options, page
from neurotwin.service.pages.patient import told_of
from neurotwin.service.pages.spark import bar, percent, short, spark
from neurotwin.store import Filter, PatientSummary, Store

router = APIRouter()
ON_PAGE = 50
"""Patients on one page, and forecasts that one press of the button renews at most."""
STATUSES = {"": "any", "ok": "ok", "degraded": "with a warning", "abstain": "silent"}
ORDERS = {"risk": "highest risk", "updated": "last change", "id": "pseudonym"}
Row = tuple[PatientSummary, Mapping[str, Any] | None]


@dataclass(frozen=True)
class Asked:
    """What the filters say; ``faults`` are those that cannot be read, by name."""

    chosen: Filter
    number: int
    words: dict[str, str]
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, query: Any) -> Asked:
        """Filters that cannot be read are told, and left out."""
        words = {name: str(query.get(name, "")).strip() for name in ("prefix", "model", "status", "since", "min_risk")}
        order = str(query.get("order", "risk"))
        faults: dict[str, str] = {}
        since, least = _read(words, "since", _day, faults), _read(words, "min_risk", _percent, faults)
        status = words["status"] or None
        if status not in (None, "ok", "degraded", "abstain"):
            faults["status"], status = "choose one of the list", None
        text_of_page = str(query.get("page", "1"))
        number = int(text_of_page) if text_of_page.isdecimal() and 1 <= len(text_of_page) <= 6 else 1
        number = max(number, 1)
        chosen = Filter(
            prefix=words["prefix"],
            model=words["model"] or None,
            status=status,
            min_risk=least,
            since=since,
            order=order if order in ORDERS else "risk",
            limit=ON_PAGE + 1,  # one more tells whether there is a further page
            offset=ON_PAGE * (number - 1),
        )
        return cls(chosen, number, words | {"order": chosen.order}, faults)

    def link(self, number: int) -> str:
        """The same question's other page."""
        return "/population?" + urlencode({**{k: v for k, v in self.words.items() if v}, "page": number})


@router.get("/population")
async def population(request: Request) -> Response:
    """The overview; says how to get one where the service has no store."""
    door = Door.of(request)
    if door.store is None:
        main = """<section class="card narrow"><h1>Population</h1><p>This service keeps no patients. Start it with
<code>neurotwin serve BUNDLE --store twins.db</code>.</p></section>"""
        return page(request, "Population", main)
    asked = Asked.of(request.query_params)
    rows = await door.compute(partial(_rows, door.store, asked.chosen))
    predictor = door.models.get(asked.words["model"]) or next(iter(door.models.values()))
    main = f"""<div class="head"><div><h1>Population</h1>
<p class="lead">The last forecast that was kept of each patient.</p></div></div>
<section class="card filters" aria-labelledby="h-filters"><h2 id="h-filters">Filters</h2>
{_filters(door, asked)}</section>
<section class="card" aria-labelledby="h-people"><h2 id="h-people">Patients</h2>{_table(rows, asked)}</section>
{_renewal(predictor)}"""
    ids = [{"id": one.id, "current": one.current is True} for one, _ in rows[:ON_PAGE]]
    return page(request, "Population", main, script="population.js", data=told_of(predictor) | {"patients": ids})


def _rows(store: Store, chosen: Filter) -> list[Row]:
    """Patients, each with the answer of the last forecast of the model that was asked for."""
    found = store.patients(chosen)
    kept = store.answers([one.forecast for one in found if one.forecast is not None])
    return [(one, None if one.forecast is None else kept.get(one.forecast)) for one in found]


def _filters(door: Door, asked: Asked) -> str:
    words = {name: text(word) for name, word in asked.words.items()}
    models = {"": "any"} | {name: name for name in door.models}
    controls = (
        ("prefix", "Pseudonym begins with", f'<input name="prefix" maxlength="64" value="{words["prefix"]}">'),
        ("model", "Model", f'<select name="model">{options(models, asked.words["model"])}</select>'),
        ("status", "Last answer", f'<select name="status">{options(STATUSES, asked.words["status"])}</select>'),
        (
            "min_risk",
            "Risk at least",
            f'<input name="min_risk" type="number" min="0" max="100" step="any" value="{words["min_risk"]}">',
        ),
        ("since", "Changed since", f'<input name="since" type="date" value="{words["since"]}">'),
        ("order", "Sorted by", f'<select name="order">{options(ORDERS, asked.words["order"])}</select>'),
    )
    hints = {"min_risk": "%"}
    fields = "".join(labelled(label, control, hints.get(name, "")) for name, label, control in controls)
    faults = "".join(
        f'<p class="fault" role="alert">{text(label)}: {text(asked.faults[name])}.</p>'
        for name, label, _ in controls
        if name in asked.faults
    )
    return f"""<form class="row" method="get" action="/population">{fields}<button class="main">Show</button>
<a href="/population">Clear</a></form>{faults}"""


def _table(rows: list[Row], asked: Asked) -> str:
    if not rows:
        return '<p class="empty">No patient is like this.</p>' + _pages(rows, asked)
    shown = rows[:ON_PAGE]
    head = ("Patient", "Risk", "Forecast", "Course", "Last answer", "Asked", "Record changed")
    columns = "".join(f'<th scope="col">{one}</th>' for one in head)
    body = "".join(_row(one, last) for one, last in shown)
    return f"""{_mixed(shown)}<div class="scroll" tabindex="0" role="region" aria-label="Patients">
<table class="people">
<caption>{len(shown)} patient{"s" * (len(shown) > 1)}, from number {asked.chosen.offset + 1}. The risk is
that of the event which the forecast was asked about.</caption>
<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>{_pages(rows, asked)}"""


def _row(one: PatientSummary, last: Mapping[str, Any] | None) -> str:
    link = f'<a href="/twins/{text(quote(one.id, safe=""))}">{text(one.id)}</a>'
    risk = "not asked" if one.risk is None else f"{bar(one.risk)}{percent(one.risk)}{_event(one.event)}"
    status = one.status or "none"
    label = STATUSES.get(status, "never asked")
    drawing, ends = spark(last) if last is not None else ("", "")
    stale = '<span class="stale">before the last change</span>' if one.current is False else ""
    made = "never" if one.made is None else f"{_when(one.made)} {stale}"
    cells = (
        risk,
        ends,
        drawing,
        f'<span class="status {text(status)}">{text(label)}</span>',
        made,
        _when(one.updated),
    )
    state = "never" if one.current is None else "current" if one.current else "stale"
    return f'<tr data-state="{state}"><th scope="row">{link}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _event(event: Mapping[str, Any] | None) -> str:
    """Which event a risk is of; what was kept before this was told has none."""
    if event is None:
        return ""
    side = "above" if "above" in event else "below"
    return f""" <small class="hint">{text(event["channel"].replace("_", " "))} {side} {short(event[side])}
{unit_text(event["unit"])} within {short(event["within"])} {text(event["time_unit"])}</small>"""


def _mixed(rows: list[Row]) -> str:
    """A word of warning where risks of several events stand in one order."""
    told = {json.dumps(one.event, sort_keys=True) for one, _ in rows if one.risk is not None}
    if len(told) < 2:
        return ""
    return """<p class="verdict warned" role="note">The risks on this page are of different events: their order
says little.</p>"""


def _pages(rows: list[Row], asked: Asked) -> str:
    before = f'<a href="{text(asked.link(asked.number - 1))}">Before</a>' if asked.number > 1 else ""
    after = f'<a href="{text(asked.link(asked.number + 1))}">Further</a>' if len(rows) > ON_PAGE else ""
    return f'<nav class="pages" aria-label="Further patients">{before}{after}</nav>' if before or after else ""


def _renewal(predictor: Any) -> str:
    unit, most = text(predictor.signature.time_unit), predictor.signature.horizon
    channels = options({one.name: one.name.replace("_", " ") for one in predictor.signature.variables}, "")
    side = options({"above": "above", "below": "below"}, "above")
    fields = (
        labelled("Quantity", f'<select id="risk-channel">{channels}</select>')
        + labelled("Side", f'<select id="risk-side">{side}</select>')
        + labelled("Threshold", '<input id="risk-value" type="number" step="any" required>')
        + labelled("Unit", '<select id="risk-unit"></select>')
        + labelled(
            "Within", f'<input id="until" type="number" min="0" step="any" required value="{most / 2:.2g}">', unit
        )
    )
    return f"""<section class="card filters" aria-labelledby="h-renew"><h2 id="h-renew">Renew forecasts</h2>
<p class="hint">Asks {text(predictor.bundle.name)} about the patients of this page as they are: nothing further is
given, what runs goes on. The probability of the event is kept with each forecast.</p>
<form id="renew"><div class="row">{fields}</div><p class="buttons">
<button class="main" id="renew-stale">Those that are not current</button>
<button type="button" id="renew-all">All on this page</button></p></form>
<p id="progress" role="status" aria-live="polite"></p></section>"""


def _read(words: dict[str, str], name: str, read: Any, faults: dict[str, str]) -> Any:
    if not words[name]:
        return None
    try:
        return read(words[name])
    except ValueError as fault:
        faults[name] = str(fault)
        return None


def _day(word: str) -> datetime:
    try:
        return datetime.strptime(word, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("a day is written 2026-01-31") from None


def _percent(word: str) -> float:
    try:
        share = float(word) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("a number from 0 to 100")
    return share


def _when(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M}</time>'
