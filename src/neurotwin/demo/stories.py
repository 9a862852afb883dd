"""What the demonstration tells: a cohort, a question, and two plans for one patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Story:
    """One task.

    Attributes:
        name: of the experiment, the schema of its cohort, and the bundle.
        title, question, description, notes: for the report's readers.
        make_cohort: arguments of the verb that makes the cohort; ``{output}`` and ``{subjects}`` are filled in.
        quick: overrides of a training run that only has to show that the road holds.
        cut: time at which the past ends, in the schema's time unit.
        variable: the one that is drawn and compared.
        every, until: when the two plans are looked at, from their start.
        plans: names and treatments.
        kind: whose data these are.
    """

    name: str
    title: str
    question: str
    description: str
    make_cohort: tuple[str, ...]
    quick: tuple[str, ...]
    cut: float
    variable: str
    every: float
    until: float
    plans: tuple[dict[str, Any], dict[str, Any]]
    kind: Literal["real", "simulated"]
    notes: tuple[str, ...] = ()


def _boluses(treatment: str, times: Sequence[float], amount: float, unit: str) -> list[dict[str, Any]]:
    return [{"t": time, "treatment": treatment, "amount": amount, "unit": unit} for time in times]


_TWO_WEEKS_OF_WEEKDAYS = (0.0, 1.0, 2.0, 3.0, 4.0, 7.0, 8.0, 9.0, 10.0, 11.0)

STORIES = (
    Story(
        name="pbc_liver",
        title="Liver: primary biliary cirrhosis",
        question="From the visits of the first 400 days, how do bilirubin and eleven other signs go on?",
        description="Mayo Clinic trial, 1974-1988: D-penicillamine against placebo",
        make_cohort=("ingest", "csv", "dataset:pbcseq", "--mapping", "pbcseq", "-o", "{output}"),
        quick=("trainer.max_epochs=2",),
        cut=400.0,
        variable="bilirubin",
        every=91.25,
        until=1095.0,
        plans=(
            {
                "name": "D-penicillamine",
                "treatments": [{"t": 0, "treatment": "d_penicillamine", "level": 1, "unit": "1"}],
            },
            {"name": "no treatment", "treatments": []},
        ),
        kind="real",
        notes=(
            "Visits end at death or transplantation: only observed visits are scored.",
            "The trial found no effect of D-penicillamine on survival; a difference between the plans is what the "
            "model believes, not what was shown.",
        ),
    ),
    Story(
        name="lung_tumour",
        title="Lung tumour: chemotherapy and radiotherapy",
        question="From 30 days of treatment, how does the tumour go on under a plan?",
        description="Virtual patients of Geng et al. 2017, treated by a policy that looks at the tumour",
        make_cohort=("simulate", "n_subjects={subjects}", "seed=1", "output={output}"),
        quick=("trainer.max_epochs=2", "data.limit=64"),
        cut=30.0,
        variable="tumour_volume",
        every=1.0,
        until=28.0,
        plans=(
            {"name": "radiotherapy", "treatments": _boluses("radiotherapy", _TWO_WEEKS_OF_WEEKDAYS, 2.0, "Gy")},
            {"name": "chemotherapy", "treatments": _boluses("chemotherapy", (0.0, 7.0, 14.0, 21.0), 5.0, "mg/m3")},
        ),
        kind="simulated",
    ),
)
