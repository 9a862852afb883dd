"""Open Inference Protocol V2 (REST), as KServe, Triton and MLServer speak it.

A model takes a patient document and plans, as JSON in BYTES tensors, and answers with the native answer and with its
numbers as tensors. Abstention is told in ``status``, and by numbers that are null (NaN in binary).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from neurotwin import __version__
from neurotwin.runtime import PatientDocument, PlanDocument, Predictor, Twin, parse_document
from neurotwin.runtime.deadline import check_time
from neurotwin.service.asking import note, stamp
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.faults import Busy, RequestError
from neurotwin.service.protocols.tensors import HEADER, INPUTS, InferRequest, TensorMade, read_request, write_answer

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
MODEL, VERSION = "/models/{model}", "/models/{model}/versions/{version}"
FAULTS = {"application/json": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}}
NUMBERS = ("median", "lower", "upper")
OUTPUTS = {
    "answer": ("BYTES", [1]),
    "status": ("BYTES", [-1]),
    "channel": ("BYTES", [-1]),
    "time": ("FP64", [-1, -1]),
    **{name: ("FP64", [-1, -1, -1]) for name in NUMBERS},
}
"""Name -> datatype and shape: plans, times asked, channels."""


@router.get("", summary="Name, version and extensions of the server", **described(faults=FAULTS))
async def server() -> Response:
    """The server itself."""
    return JSONResponse({"name": "neurotwin", "version": __version__, "extensions": ["binary_tensor_data"]})


@router.get("/health/live", summary="Liveness")
async def live() -> Response:
    """200 while the process answers at all."""
    return JSONResponse({"live": True})


@router.get("/health/ready", summary="Readiness")
async def ready(request: Request) -> Response:
    """The protocol's text names the field ``live`` here too: both are sent."""
    taken = Door.of(request).ready
    return JSONResponse({"ready": taken, "live": taken}, 200 if taken else 503)


@router.post("/repository/index", summary="The models that are there", **described(faults=FAULTS))
async def index(request: Request) -> Response:
    """Models never come or go while the service runs."""
    models = Door.of(request).models.values()
    told = [{"name": one.bundle.name, "version": one.bundle.version, "state": "READY", "reason": ""} for one in models]
    return JSONResponse(told)


@router.get(MODEL, summary="Inputs and outputs of a model", **described(faults=FAULTS))
async def metadata(request: Request, model: str) -> Response:
    """Datatypes and shapes; -1 is any size."""
    return _metadata(request, model, "")


@router.get(VERSION, summary="Inputs and outputs of a version", **described(faults=FAULTS))
async def version_metadata(request: Request, model: str, version: str) -> Response:
    """The same of a version."""
    return _metadata(request, model, version)


@router.get(MODEL + "/ready", summary="Readiness of a model", **described(faults=FAULTS))
async def model_ready(request: Request, model: str) -> Response:
    """200 while requests for the model are taken."""
    return _ready(request, model, "")


@router.get(VERSION + "/ready", summary="Readiness of a version", **described(faults=FAULTS))
async def version_ready(request: Request, model: str, version: str) -> Response:
    """The same of a version."""
    return _ready(request, model, version)


@router.post(MODEL + "/infer", summary="Forecast, as tensors", **described(InferRequest, faults=FAULTS))
async def infer(request: Request, model: str) -> Response:
    """Tensors ``patient`` and ``plan`` hold documents; with several plans ``answer`` is their comparison."""
    return await _infer(request, model, "")


@router.post(VERSION + "/infer", summary="Forecast by a version, as tensors", **described(InferRequest, faults=FAULTS))
async def version_infer(request: Request, model: str, version: str) -> Response:
    """The same of a version."""
    return await _infer(request, model, version)


def _metadata(request: Request, model: str, version: str) -> Response:
    predictor = Door.of(request).model(model, version)
    content = {
        "name": predictor.bundle.name,
        "versions": [predictor.bundle.version],
        "platform": "neurotwin_bundle",
        "inputs": [_described(name, *told) for name, told in INPUTS.items()],
        "outputs": [_described(name, *told) for name, told in OUTPUTS.items()],
    }
    return JSONResponse(content)


def _ready(request: Request, model: str, version: str) -> Response:
    door = Door.of(request)
    name = door.model(model, version).bundle.name
    if not door.ready:
        raise Busy("the service drains", where="service")
    return JSONResponse({"name": name, "ready": True})


async def _infer(request: Request, model: str, version: str) -> Response:
    door = Door.of(request)
    predictor = door.model(model, version)
    body, header = await request.body(), request.headers.get(HEADER)
    identity = request.scope["neurotwin.request_id"]

    def work() -> tuple[str, dict[str, Any], bytes, int]:
        asked, patient, content = _answer(predictor, body, header)
        stamp(content, identity)
        wanted = asked.wants(tuple(OUTPUTS))
        head = {"model_name": predictor.bundle.name, "model_version": predictor.bundle.version}
        head |= {} if asked.id is None else {"id": asked.id}
        check_time()
        return patient, content, *write_answer(head, _tensors(predictor, content, set(wanted)), wanted)

    patient, content, text, length = await door.compute(work)
    note(request, predictor, patient, content)
    if length == len(text):
        return Response(text, media_type="application/json")
    return Response(text, headers={HEADER: str(length)}, media_type="application/octet-stream")


def _answer(predictor: Predictor, body: bytes, header: str | None) -> tuple[InferRequest, str, dict[str, Any]]:
    asked, elements = read_request(body, header)
    patient = parse_document(PatientDocument, elements["patient"][0], "inputs: patient.0")
    plans = [parse_document(PlanDocument, one, f"inputs: plan.{number}") for number, one in enumerate(elements["plan"])]
    wanted = asked.wants(tuple(OUTPUTS))
    if {"time", *NUMBERS} & set(wanted) and len({len(plan.query.times()) for plan in plans}) > 1:
        raise RequestError(
            "plans that ask about unequally many times",
            where="inputs: plan",
            expected="equally many, or outputs answer, status and channel alone",
        )
    twin = Twin.of(predictor, patient)
    content = twin.forecast(plans[0]) if len(plans) == 1 else twin.compare(plans)
    return asked, patient.id, {**content, "asked": len(plans[0].query.times())}


def _tensors(predictor: Predictor, content: dict[str, Any], wanted: set[str]) -> dict[str, TensorMade]:
    """The outputs of an answer; numbers only where they are ``wanted``."""
    n_times = content.pop("asked")
    answers = content.get("plans", [content])
    names = [channel.name for channel in predictor.signature.variables]
    made = {
        "answer": TensorMade.of_texts(json.dumps(content, allow_nan=False, separators=(",", ":"))),
        "status": TensorMade.of_texts(*(answer["status"] for answer in answers)),
        "channel": TensorMade.of_texts(*names),
    }
    if wanted & {"time", *NUMBERS}:
        grids = [_numbers(answer["prediction"], n_times, len(names)) for answer in answers]
        time, median, lower, upper = (np.stack(parts) for parts in zip(*grids, strict=True))
        numbers = {"time": time[:, :, 0], "median": median, "lower": lower, "upper": upper}
        made |= {name: TensorMade.of_numbers(values) for name, values in numbers.items()}
    return made


def _numbers(rows: list[dict[str, Any]] | None, n_times: int, n_channels: int) -> list[NDArray[np.float64]]:
    """Time, median, lower and upper end of an answer's rows, each ``[time, channel]``; NaN where nothing is told."""
    found = np.full((4, n_times * n_channels), np.nan)
    for place, row in enumerate(rows or ()):
        interval = row.get("interval") or {}
        told = (row["t"], row["median"], interval.get("lo"), interval.get("hi"))
        found[:, place] = [np.nan if value is None else value for value in told]
    return list(found.reshape(4, n_times, n_channels))


def _described(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}
