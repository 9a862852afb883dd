"""The native API without memory: a patient document and plans go in, an answer comes out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.runtime import BudgetDocument, Twin
from neurotwin.runtime.answer import model_of
from neurotwin.service.asking import ask_twin, reply
from neurotwin.service.describing import described
from neurotwin.service.door import Door
from neurotwin.service.questions import (
    AlertsQuestion,
    CompareQuestion,
    ExplainQuestion,
    OptimiseQuestion,
    PredictQuestion,
    RiskQuestion,
)

router = APIRouter(prefix="/v1", tags=["forecasts"])
TWINS = "/twins/{model}"


@router.get("/models", summary="The models that answer", **described())
async def models(request: Request) -> Response:
    """Name, version, sha256 and intended use of each."""
    return reply(request, {"models": [model_of(one) for one in Door.of(request).models.values()]})


@router.get("/models/{model}", summary="A model's channels, units and limits", **described())
async def model(request: Request, model: str) -> Response:
    """The signature: what may be told in which unit, which ranges were trained, how far a forecast may reach."""
    predictor = Door.of(request).model(model)
    return reply(request, {"model": model_of(predictor), "signature": dict(predictor.bundle.signature)})


@router.post(TWINS + "/predict", summary="Forecast under one plan", **described(PredictQuestion))
async def predict(request: Request, model: str) -> Response:
    """Median and interval of each channel at each time asked, or an abstention with its reasons."""
    return await ask_twin(request, model, PredictQuestion, lambda twin, told: twin.forecast(told.plan, told.policy))


@router.post(TWINS + "/compare", summary="Compare plans", **described(CompareQuestion))
async def compare(request: Request, model: str) -> Response:
    """One answer for each plan, and paired differences with intervals from joint draws."""
    return await ask_twin(request, model, CompareQuestion, lambda twin, told: twin.compare(told.plans, told.policy))


@router.post(TWINS + "/alerts", summary="What is odd in a record", **described(AlertsQuestion))
async def alerts(request: Request, model: str) -> Response:
    """Observations outside their forecasts, drift, stuck and stale signals, by a policy."""
    return await ask_twin(request, model, AlertsQuestion, lambda twin, told: twin.alerts(told.policy))


@router.post(TWINS + "/risk", summary="Probability of crossing a threshold", **described(RiskQuestion))
async def risk(request: Request, model: str) -> Response:
    """The probability by time, and when it first reaches a level that alarms."""
    return await ask_twin(
        request, model, RiskQuestion, lambda twin, told: twin.risk(told.event, told.horizon, told.plan)
    )


@router.post(TWINS + "/explain", summary="What a forecast rests on", **described(ExplainQuestion))
async def explain(request: Request, model: str) -> Response:
    """How far the forecast moves with each input of the record and each dose of the plan."""
    return await ask_twin(request, model, ExplainQuestion, lambda twin, told: twin.explain(told.plan, told.target))


@router.post(TWINS + "/optimise", summary="Search for plans within limits", **described(OptimiseQuestion))
async def optimise(request: Request, model: str) -> Response:
    """A front of plans, never a single order; tells which limits bind."""
    longest = Door.of(request).settings.limits.search

    def work(twin: Twin, told: OptimiseQuestion) -> dict[str, Any]:
        budget = told.budget or BudgetDocument(seconds=min(BudgetDocument().seconds, 0.8 * longest))
        return twin.optimise(told.plan, told.goal, told.constraints, budget)

    return await ask_twin(request, model, OptimiseQuestion, work, search=True)
