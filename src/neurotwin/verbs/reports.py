"""What becomes of an evaluation: a JSON file, and a page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurotwin.cohort import Cohort, read_manifest
from neurotwin.disk import disk_errors, write_whole
from neurotwin.errors import InputError
from neurotwin.evaluation.report import write_report as write_html
from neurotwin.evaluation.results import EvaluationReport
from neurotwin.evaluation.sections import CohortFacts, Task
from neurotwin.extras import need


def write_report(report: EvaluationReport, path: Path) -> None:
    """Write the report as JSON, at once. Raises InputError when it cannot be written, ResourceError on a full disk."""
    content = json.dumps(report.to_dict(), indent=1) + "\n"
    with disk_errors(path, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


def check_page(path: Path | None) -> None:
    """See that a page can be written before anything is computed for it.

    Raises:
        InputError: no such folder to write to.
        ExtraMissingError: matplotlib is not installed.
    """
    if path is not None:
        need("matplotlib", "viz")
        if not path.parent.is_dir():
            raise InputError("no such folder", where=str(path.parent), remedy="make it first")


def write_page(report: EvaluationReport, facts: CohortFacts, path: Path, *, command: str) -> Path:
    """Write the page of a report that is about its first predictor; errors as in `check_page`."""
    order = list(report.variables)
    scored = {(one.variable, one.scale) for one in report.scores}
    task = Task(
        title=report.cohort,
        question="What will be measured at each later visit?",
        cohort=facts,
        evaluation=report,
        main=report.predictors[0],
        # The scale on which a variable is modelled comes before its natural one.
        shown=tuple(sorted(scored, key=lambda one: (order.index(one[0]), one[1] == "natural"))),
    )
    return write_html(path, f"Evaluation: {report.cohort}", [task], command=command)


def facts_of(
    name: str, provenance: Mapping[str, Any], subjects: Mapping[str, int], observations: Mapping[str, int]
) -> CohortFacts:
    """What the data are, from what a cohort's manifest says and from the counts of each part."""
    return CohortFacts(
        name,
        "simulated" if "simulator" in provenance else "real",
        "",
        n_train=subjects["train"],
        n_calibration=subjects["validation"],
        n_test=subjects["test"],
        n_observations=sum(observations.values()),
        source=str(provenance.get("source", "")),
    )


def facts_of_cohort(folder: Path) -> CohortFacts:
    """What the data of a cohort are."""
    cohort = Cohort.load(folder)
    parts = {name: cohort.part(name) for name in ("train", "validation", "test")}
    return facts_of(
        cohort.schema.name,
        read_manifest(folder)["provenance"],
        {name: len(part) for name, part in parts.items()},
        {name: len(part.observations) for name, part in parts.items()},
    )
