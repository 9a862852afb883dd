"""The native API without memory: a patient document and plans go in, an answer comes out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from neurotwin.runtime import BudgetDocument
from neurotwin.runtime.answer import model_of
from neurotwin.service.asking import ask, reply, twin_of
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
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: PredictQuestion) -> dict[str, Any]:
        return twin_of(door, predictor, question.patient).forecast(question.plan, question.policy)

    return await ask(request, PredictQuestion, predictor, work)


@router.post(TWINS + "/compare", summary="Compare plans", **described(CompareQuestion))
async def compare(request: Request, model: str) -> Response:
    """One answer for each plan, and paired differences with intervals from joint draws."""
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: CompareQuestion) -> dict[str, Any]:
        return twin_of(door, predictor, question.patient).compare(question.plans, question.policy)

    return await ask(request, CompareQuestion, predictor, work)


@router.post(TWINS + "/alerts", summary="What is odd in a record", **described(AlertsQuestion))
async def alerts(request: Request, model: str) -> Response:
    """Observations outside their forecasts, drift, stuck and stale signals, by a policy."""
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: AlertsQuestion) -> dict[str, Any]:
        return twin_of(door, predictor, question.patient).alerts(question.policy)

    return await ask(request, AlertsQuestion, predictor, work)


@router.post(TWINS + "/risk", summary="Probability of crossing a threshold", **described(RiskQuestion))
async def risk(request: Request, model: str) -> Response:
    """The probability by time, and when it first reaches a level that alarms."""
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: RiskQuestion) -> dict[str, Any]:
        twin = twin_of(door, predictor, question.patient)
        return twin.risk(question.event, question.horizon, question.plan)

    return await ask(request, RiskQuestion, predictor, work)


@router.post(TWINS + "/explain", summary="What a forecast rests on", **described(ExplainQuestion))
async def explain(request: Request, model: str) -> Response:
    """How far the forecast moves with each input of the record and each dose of the plan."""
    door = Door.of(request)
    predictor = door.model(model)

    def work(question: ExplainQuestion) -> dict[str, Any]:
        return twin_of(door, predictor, question.patient).explain(question.plan, question.target)

    return await ask(request, ExplainQuestion, predictor, work)


@router.post(TWINS + "/optimise", summary="Search for plans within limits", **described(OptimiseQuestion))
async def optimise(request: Request, model: str) -> Response:
    """A front of plans, never a single order; tells which limits bind."""
    door = Door.of(request)
    predictor, longest = door.model(model), door.settings.limits.search

    def work(question: OptimiseQuestion) -> dict[str, Any]:
        budget = question.budget or BudgetDocument(seconds=min(BudgetDocument().seconds, 0.8 * longest))
        twin = twin_of(door, predictor, question.patient)
        return twin.optimise(question.plan, question.goal, question.constraints, budget)

    return await ask(request, OptimiseQuestion, predictor, work, search=True)
