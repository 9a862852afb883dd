"""A story's section of the report: how good the exported twin was, and what it says of one patient's plans."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.cohort import Cohort
from neurotwin.demo.stories import Story
from neurotwin.evaluation.calibration import calibrated
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.sections import CohortFacts, Curve, PlanComparison, Points, Task
from neurotwin.evaluation.trajectories import draw_trajectories
from neurotwin.recipes import data_of
from neurotwin.runtime import Predictor, Twin
from neurotwin.training.run_folder import read_config, read_setting, write_json
from neurotwin.verbs.examples import patient_document

LABELS = {
    "neural_ode": "neural ODE (exported bundle)",
    "gru": "GRU",
    "locf": "last value carried forward",
    "population_mean": "population mean",
}


def tell(story: Story, run: Path, bundle: Path, report: EvaluationReport, examples: Path) -> Task:
    """The section; documents and answer of the example go to the folder ``examples``."""
    test, predictor = data_of(read_config(run)).cohort.part("test"), Predictor.load(bundle)
    _, _, card = read_setting(run)
    facts = CohortFacts(
        story.name,
        story.kind,
        story.description,
        n_train=card["subjects"]["train"],
        n_calibration=card["subjects"]["validation"],
        n_test=card["subjects"]["test"],
        n_observations=sum(card["observations"].values()),
        source=str(card["provenance"].get("source", "")),
    )
    answers = calibrated(predictor, predictor.calibration)
    return Task(
        title=story.title,
        question=story.question,
        cohort=facts,
        evaluation=report,
        main="neural_ode",
        shown=_shown(report, story),
        labels=LABELS,
        trajectories=draw_trajectories(answers, test, story.variable, cut=story.cut),
        comparison=_compare(test, predictor, story, examples),
        notes=story.notes,
    )


def _shown(report: EvaluationReport, story: Story) -> tuple[tuple[str, Any], ...]:
    """The story's variable first, on its modelling scale before its own."""
    scored = list(dict.fromkeys((one.variable, one.scale) for one in report.scores))
    return tuple(sorted((one for one in scored if one[0] == story.variable), key=lambda one: one[1] == "natural"))


def _compare(test: Cohort, predictor: Predictor, story: Story, examples: Path) -> PlanComparison | None:
    """Ask about both plans through documents, as an application does; None when the twin keeps silent."""
    patient = patient_document(test, _example(test, story), story.cut)
    query = {"every": story.every, "until": story.until}
    plans = [{**plan, "time_unit": test.schema.time_unit, "query": query} for plan in story.plans]
    answer = Twin.of(predictor, patient).compare(plans)
    examples.mkdir(parents=True, exist_ok=True)
    for name, content in (("patient", patient), ("plan_a", plans[0]), ("plan_b", plans[1]), ("answer", answer)):
        write_json(examples / f"{name}.json", content)
    told = [row for one in answer["plans"] for row in one["prediction"] or [] if row["channel"] == story.variable]
    if any(one["prediction"] is None for one in answer["plans"]) or any(row["median"] is None for row in told):
        return None
    first, second = (_curve(one["prediction"], story.variable) for one in answer["plans"])
    variable = next(item for item in test.schema.variables if item.name == story.variable)
    past = [row for row in patient["observations"] if row["variable"] == story.variable]
    return PlanComparison(
        title="a held-out patient",
        variable=story.variable,
        unit=variable.unit,
        time_unit=test.schema.time_unit,
        level=predictor.calibration.level,
        cut=story.cut,
        names=(plans[0]["name"], plans[1]["name"]),
        first=first,
        second=second,
        difference=_curve(answer["differences"], story.variable),
        counterfactual=answer["counterfactual"],
        history=Points.of([row["t"] for row in past], [row["value"] for row in past]),
        note="The difference's band is the spread between the model's joint draws: no doubt about the model is in it.",
    )


def _example(test: Cohort, story: Story) -> int:
    """The first test subject with three values up to the cut, the last of them above 1, and values after it."""
    seen = test.observations
    column = [variable.name for variable in test.schema.variables].index(story.variable)
    for subject in range(len(test)):
        own = seen.take((seen.subject == subject) & (seen.variable == column) & (seen.censor == 0))
        past = own.take(own.time <= story.cut)
        if len(past) >= 3 and len(own) > len(past) and past.value[-1] > 1.0:
            return subject
    return 0


def _curve(rows: Sequence[dict[str, Any]], variable: str) -> Curve:
    own = [row for row in rows if row["channel"] == variable]
    return Curve.of(
        *np.array([[row["t"], row["median"], row["interval"]["lo"], row["interval"]["hi"]] for row in own]).T
    )
