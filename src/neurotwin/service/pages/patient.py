"""A patient's page: who it is, what is planned, what the twin says. The form follows the model's signature."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.pages.markup import text, unit_text
from neurotwin.runtime import Predictor
from neurotwin.service.door import Door
from neurotwin.service.pages.card import card
from neurotwin.service.pages.frame import field, options, page
from neurotwin.service.pages.words import SENTENCES

router = APIRouter()


@router.get("/")
async def anyone(request: Request, model: str | None = None) -> Response:
    """Type a patient in, or choose one."""
    return _show(request, _chosen(Door.of(request), model), None)


@router.get("/twins/{id}")
async def known(request: Request, id: str, model: str | None = None) -> Response:
    """A patient of the store. The page asks for the record itself, so that the audit log tells of it."""
    door = Door.of(request)
    door.need_store()
    return _show(request, _chosen(door, model), id)


def told_of(predictor: Predictor) -> dict[str, Any]:
    """What a script has to know of a model."""
    signature = predictor.bundle.signature
    scales = {one["name"]: one.get("transform") for one in signature["schema"]["variables"]}
    names = ("time_unit", "time_units", "trained_horizon", "min_visits", "counterfactual", "channels")
    return {
        "model": predictor.bundle.name,
        "level": predictor.calibration.level,
        "signature": {name: signature[name] for name in names} | {"transforms": scales},
        "reasons": {str(reason): list(words) for reason, words in SENTENCES.items()},
    }


def choose_model(door: Door, predictor: Predictor, action: str) -> str:
    """A form that leads to the same page of another model; nothing where there is one model only."""
    if len(door.models) < 2:
        return ""
    choice = options({name: f"{name} {one.bundle.version}" for name, one in door.models.items()}, predictor.bundle.name)
    control = f'<select name="model">{choice}</select>'
    return (
        f'<form class="row" method="get" action="{text(action)}">{field("Model", control)}<button>Show</button></form>'
    )


def _chosen(door: Door, model: str | None) -> Predictor:
    return door.chosen(model if model is not None else next(iter(door.models)))


def _show(request: Request, predictor: Predictor, patient: str | None) -> Response:
    door = Door.of(request)
    title = "A patient's twin" if patient is None else f"Patient {patient}"
    where = "/" if patient is None else f"/twins/{patient}"
    bundle = predictor.bundle
    main = f"""<div class="head"><div><h1>{text(title)}</h1>
<p class="lead">{text(bundle.name)} {text(bundle.version)}: {text(bundle.manifest.get("intended_use", ""))}</p></div>
<div class="choices">{_choose_patient(door)}{choose_model(door, predictor, where)}</div></div>
<p id="news" class="sr" role="status" aria-live="polite"></p>
<div class="desk">
<div class="side">
{_patient(predictor, patient)}
{_plans(predictor)}
</div>
<div class="stage">
{STAGE}
</div>
</div>
<div class="more">
{_risk(predictor)}
{_search(predictor)}
{ALERTS if patient is not None else ""}
<section class="card" aria-labelledby="h-card"><h2 id="h-card">Model card</h2>{card(predictor)}</section>
</div>"""
    data = told_of(predictor) | {"patient": patient, "store": door.store is not None}
    return page(request, title, main, script="patient.js", data=data)


STAGE = """<section class="card" aria-labelledby="h-forecast"><h2 id="h-forecast">Forecast</h2>
<div id="said"></div>
<div id="headline" class="headline"></div>
<div class="legend"><ul id="legend" class="key"></ul>
<label class="check screen"><input type="checkbox" id="log"> logarithmic axis</label></div>
<div id="curves"></div>
<div id="lanes" class="lanes"></div>
<p class="hint screen">Drag a dose along the axis, or choose it with Tab: <kbd>←</kbd> <kbd>→</kbd> move it,
<kbd>+</kbd> <kbd>−</kbd> change the amount, <kbd>Delete</kbd> takes it away.</p>
<div id="differences"></div>
<details id="numbers"><summary>All of this as tables</summary><div id="table"></div><div id="record"></div></details>
</section>"""

ALERTS = """<section class="card" aria-labelledby="h-alerts"><h2 id="h-alerts">Alerts</h2>
<p class="hint">What in the record the twin did not expect. The list renews itself when the record changes.</p>
<div id="alerts" aria-live="polite"><p>Asking …</p></div></section>"""


ENTRIES = """<details class="paste"><summary>Entries so far</summary><p class="hint">A fault in one entry silences the
twin until that entry is taken back.</p><div id="entries"></div></details>"""


def _choose_patient(door: Door) -> str:
    if door.store is None:
        return ""
    return """<form class="row" id="choose"><label class="field"><span>Patient of the store</span>
<input name="id" list="known" autocomplete="off" maxlength="64" spellcheck="false"></label>
<datalist id="known"></datalist><button>Open</button></form>"""


def _patient(predictor: Predictor, patient: str | None) -> str:
    unit = text(predictor.signature.time_unit)
    if patient is None:
        head, keep = "Patient", '<button type="button" id="keep" hidden>Keep in the store</button>'
        who = field("Pseudonym", '<input id="id" value="new-patient" maxlength="64" spellcheck="false">', "a code")
    else:
        head, keep = "Add to the record", '<button type="button" id="keep">Add to the record</button>'
        who = '<p class="hint">The record so far is in the plot. New entries are kept in the store.</p>'
    opened = "" if patient is not None else " open"
    statics = "".join(_static(one) for one in predictor.bundle.signature["channels"]["statics"])
    paste = """<details class="paste"><summary>Paste or copy JSON</summary>
<label class="field"><span>Patient document</span><textarea id="json" rows="8" spellcheck="false"></textarea></label>
<p class="buttons"><button type="button" id="take">Use this</button>
<button type="button" id="copy">Write the form here</button></p></details>"""
    return f"""<details class="card" id="patient"{opened}><summary><h2>{head}</h2></summary>
<form id="form" autocomplete="off">{who}
<fieldset class="statics">{"<legend>About the patient</legend>" if statics else ""}{statics}</fieldset>
<fieldset><legend>Measurements <span class="hint">time in {unit}</span></legend><div id="observations"></div></fieldset>
<fieldset><legend>Treatments so far <span class="hint">time in {unit}</span></legend><div id="given"></div></fieldset>
<p class="fault" id="form-fault" role="alert" hidden></p><p class="buttons">{keep}</p>
{paste}</form>{ENTRIES if patient is not None else ""}</details>"""


def _static(channel: Any) -> str:
    name, levels = text(channel["name"]), channel.get("levels")
    label = str(channel["name"]).replace("_", " ")
    if levels:
        choice = options({"": "not told"} | {level: level for level in levels}, "")
        return field(label, f'<select data-static="{name}">{choice}</select>')
    units = options({unit: unit for unit in channel["units"]}, channel["unit"])
    low, high = channel.get("trained") or (None, None)
    hint = "" if low is None or high is None else f"seen {low:.4g} to {high:.4g} {unit_text(channel['unit'])}"
    value = f'<input type="number" step="any" inputmode="decimal" data-static="{name}">'
    told = f'<select data-static-unit="{name}" aria-label="Unit of {text(label)}">{units}</select>'
    return f'<div class="pair">{field(label, value, hint)}{told}</div>'


def _plans(predictor: Predictor) -> str:
    unit, most = text(predictor.signature.time_unit), predictor.signature.horizon
    until = float(f"{most / 2:.2g}")
    reach = field("Forecast until", f'<input type="number" id="until" min="0" step="any" value="{until:g}">', unit)
    return f"""<section class="card" aria-labelledby="h-plans"><h2 id="h-plans">Plans</h2>
<p class="hint">Times count from the plan's start, the last event of the record, in {unit}.</p>
<div class="row">{reach}</div><div id="plans"></div>
<p class="buttons"><button type="button" id="add-plan">Add a plan</button></p></section>"""


def _channels(predictor: Predictor, identity: str) -> str:
    choice = options({one.name: one.name.replace("_", " ") for one in predictor.signature.variables}, "")
    return field("Quantity", f'<select id="{identity}">{choice}</select>')


def _risk(predictor: Predictor) -> str:
    side = options({"above": "above", "below": "below"}, "above")
    return f"""<section class="card" aria-labelledby="h-risk"><h2 id="h-risk">Risk of crossing a threshold</h2>
<div class="row">{_channels(predictor, "risk-channel")}{field("Side", f'<select id="risk-side">{side}</select>')}
{field("Threshold", '<input id="risk-value" type="number" step="any" inputmode="decimal">')}
{field("Unit", '<select id="risk-unit"></select>')}
{field("Warn from", '<input id="risk-alarm" type="number" min="1" max="99" step="1" value="20">', "% risk")}</div>
<div id="risk" aria-live="polite"><p class="hint">Type a threshold to see the probability under each plan.</p></div>
</section>"""


def _search(predictor: Predictor) -> str:
    if not predictor.signature.treatments:
        return ""
    aim = options({"lower": "lower", "higher": "higher"}, "lower")
    names = {"end": "at the end", "mean": "on average", "highest": "highest", "lowest": "lowest"}
    when = f'<select id="aim-when">{options(names, "end")}</select>'
    return f"""<section class="card" aria-labelledby="h-front"><h2 id="h-front">Search for plans within limits</h2>
<p class="hint">Doses of a plan are varied within your limits. The answer is a front, from little dose to much; which
point is right is not for a model to say.</p>
<form id="front-form"><div class="row">{field("Begin with", '<select id="front-plan"></select>', "plan")}
{_channels(predictor, "aim-channel")}{field("Aim", f'<select id="aim">{aim}</select>')}{field("Judged", when)}
{field("Against the dose of", '<select id="aim-against"></select>')}</div>
<div id="limits"></div>
<div class="row">{field("Keep below", '<input id="toxic" type="number" step="any">', "optional, the quantity")}
{field("at a risk of at most", '<input id="toxic-share" type="number" min="0" max="99" value="10">', "%")}</div>
<p class="buttons"><button class="main" id="search">Search</button></p></form>
<div id="front" aria-live="polite"></div></section>"""
