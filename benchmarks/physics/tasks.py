"""The four tasks: which simulator, who the patients are, what they go through, what is asked and how it is learned."""

from dataclasses import dataclass

from benchmarks.physics import covariates
from benchmarks.physics.covariates import Covariates

from neurotwin.schema import Variable


@dataclass(frozen=True)
class Schedule:
    """Length of a course, its first visit and the time between visits, in the simulator's time unit; every patient is
    seen at the same times."""

    horizon: float
    start: float
    interval: float

    @property
    def visits(self) -> int:
        """How many there are."""
        return round((self.horizon - self.start) / self.interval) + 1


@dataclass(frozen=True)
class Stage:
    """One training; the next stage begins where it ended. What a step leaves wrong adds up along a course, which short
    pieces do not show: they come first because many of them cost little.

    Attributes:
        steps, batch, rate: how many, of how many patients (or pieces), and the highest learning rate.
        segment: number of visits of the pieces that courses are trained on; 0 trains on whole courses.
        each: pieces of every course.
        early: above 1 draws more pieces from the beginning of courses: their place is a uniform number to this power.
    """

    steps: int
    batch: int
    rate: float = 3.0e-3
    segment: int = 0
    each: int = 12
    early: float = 1.0


@dataclass(frozen=True)
class Task:
    """One question to a surrogate of one simulator.

    Attributes:
        name: on the command line and in ``results.json``.
        simulator, protocol: choices of the project's configuration; the protocol's regimens are those of the task.
        asked: the courses that are foretold.
        variables: what is forecast, on the scales it is modelled on.
        covariates: what of a patient's parameters is told to the surrogate.
        pace: unit of the surrogate's own time, in which things change by about one unit: a vector field is learned to
            the precision of its typical slope.
        patients: training and validation patients together.
        model: settings of the surrogate, in Hydra's syntax.
        stages: of the training.
        trained: the training patients' courses, where they are seen at other times than those that are foretold.
        treated: whether the protocol's regimens are given at all.
        overlapping: whether visits are closer than the window that they look back on.
        first_visit: whether the state at time 0 is told, as a visit.
        judged_until: end of the courses that the error is taken over; later visits only tell the fate.
    """

    name: str
    simulator: str
    protocol: str
    asked: Schedule
    variables: tuple[Variable, ...]
    covariates: Covariates
    pace: float
    patients: int
    model: tuple[str, ...]
    stages: tuple[Stage, ...]
    trained: Schedule | None = None
    treated: bool = True
    overlapping: bool = False
    first_visit: bool = False
    judged_until: float = float("inf")

    @property
    def training_schedule(self) -> Schedule:
        """Of the training patients."""
        return self.trained or self.asked


def neural_ode(solver: str, max_step: float, *, memory: int, hidden: int) -> tuple[str, ...]:
    """Settings of a `NeuralOde` without joint draws."""
    return (
        "model=neural_ode",
        f"solver@model.solver={solver}",
        f"model.solver.max_step={max_step}",
        f"model.memory={memory}",
        f"model.hidden={hidden}",
        "model.draws=1",
        "model.use_clock=false",
    )


TEST_PATIENTS, CALIBRATION_PATIENTS = 1000, 500

CIRCULATION = Task(
    name="circulation",
    simulator="regazzoni_circulation",
    protocol="regazzoni_randomised",
    asked=Schedule(16.0, 2.0, 2.0),
    variables=(
        Variable(name="systolic_pressure", unit="mm[Hg]", plausible=(0.0, 350.0)),
        Variable(name="diastolic_pressure", unit="mm[Hg]", plausible=(-20.0, 250.0)),
        Variable(name="end_diastolic_volume", unit="mL", plausible=(0.0, 600.0)),
        Variable(name="end_systolic_volume", unit="mL", plausible=(0.0, 600.0)),
        Variable(name="ejection_fraction", unit="1", plausible=(0.0, 1.0)),
        Variable(name="cardiac_output", unit="L/min", plausible=(0.0, 30.0)),
    ),
    covariates=covariates.of_circulation,
    pace=1.0,
    patients=8000,
    model=neural_ode("midpoint", 0.5, memory=12, hidden=80),
    stages=(Stage(steps=5000, batch=128, rate=4.0e-3), Stage(steps=3000, batch=128, rate=1.5e-3)),
)
GLUCOSE = Task(
    name="glucose",
    simulator="t1d_uvapadova",
    protocol="t1d_randomised",
    asked=Schedule(1440.0, 15.0, 15.0),
    trained=Schedule(1440.0, 30.0, 30.0),
    variables=(Variable(name="glucose", unit="mg/dL", plausible=(0.0, 2000.0), transform="log", offset=100.0),),
    covariates=covariates.of_diabetes,
    pace=60.0,
    patients=10_000,
    model=neural_ode("midpoint", 30.0, memory=19, hidden=64),
    stages=(Stage(steps=2500, batch=64, rate=4.0e-3),),
)
SEIZURE = Task(
    name="seizure",
    simulator="epileptor",
    protocol="epileptor_randomised",
    asked=Schedule(4000.0, 0.0, 20.0),
    variables=(
        Variable(name="lfp_line_length", unit="/ms", plausible=(0.0, 10.0)),
        Variable(name="ictal_share", unit="1", plausible=(0.0, 1.0)),
        Variable(name="permittivity", unit="1", plausible=(-10.0, 20.0)),
    ),
    covariates=covariates.of_epileptor,
    pace=50.0,
    patients=10_000,
    model=neural_ode("midpoint", 20.0, memory=6, hidden=64),
    stages=(
        Stage(steps=3000, batch=512, segment=11, rate=5.0e-3),
        Stage(steps=1000, batch=256, segment=61, each=4, rate=2.0e-3),
        Stage(steps=1000, batch=128, rate=1.0e-3),
        Stage(steps=700, batch=128, rate=7.0e-4),
        Stage(steps=800, batch=128, rate=5.0e-4),
    ),
    treated=False,
    overlapping=True,
    first_visit=True,
)
SEPSIS = Task(
    name="sepsis",
    simulator="reynolds_sepsis",
    protocol="reynolds_sepsis_randomised",
    asked=Schedule(1000.0, 0.0, 5.0),
    trained=Schedule(250.0, 0.0, 1.0),
    variables=(
        Variable(name="pathogen_load", unit="10*6/mL", plausible=(0.0, 1e3), transform="log", offset=0.05),
        Variable(name="phagocyte_activation", unit="1", plausible=(0.0, 10.0), transform="log", offset=0.03),
        Variable(name="tissue_damage", unit="1", plausible=(0.0, 100.0), transform="log", offset=0.5),
        Variable(name="anti_inflammatory_level", unit="1", plausible=(0.0, 20.0)),
    ),
    covariates=covariates.of_sepsis,
    pace=4.0,
    patients=4000,
    model=neural_ode("rk4", 1.0, memory=0, hidden=80),
    stages=(
        Stage(steps=7000, batch=1024, segment=2, each=25, early=2.0, rate=5.0e-3),
        Stage(steps=2000, batch=512, segment=9, each=20, early=2.0, rate=1.5e-3),
        Stage(steps=1200, batch=128, segment=49, each=4, early=4.0, rate=1.0e-3),
        Stage(steps=2000, batch=192, segment=49, each=4, early=4.0, rate=6.0e-4),
    ),
    first_visit=True,
    judged_until=240.0,
)
TASKS = {task.name: task for task in (CIRCULATION, GLUCOSE, SEIZURE, SEPSIS)}
