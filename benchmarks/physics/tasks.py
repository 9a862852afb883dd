"""The four tasks: which simulator, who the patients are, what they go through, what is asked and how it is learned."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.physics import covariates
from benchmarks.physics.covariates import Covariates

from neurotwin.schema import Variable


@dataclass(frozen=True)
class Refinement:
    """A second training on longer pieces: what a step leaves wrong adds up along a course, which short pieces do not
    show."""

    segment: int
    early: float
    batch: int
    steps: int
    rate: float = 1.0e-3


@dataclass(frozen=True)
class Task:
    """One question to a surrogate of one simulator.

    Attributes:
        name: on the command line and in ``results.json``.
        simulator, protocol: choices of the project's configuration; the protocol's regimens are those of the task.
        horizon: of a course, in the simulator's time unit.
        visits: first visit and interval; every patient is seen at the same times.
        variables: what is forecast, on the scales it is modelled on.
        covariates: what of a patient's parameters is told to the surrogate.
        treated: whether the protocol's regimens are given at all.
        overlapping: whether visits are closer than the window that they look back on.
        first_visit: whether the state at time 0 is told, as a visit.
        segment: number of visits of the pieces that courses are trained on; 0 trains on whole courses.
        early: above 1 draws more pieces from the beginning of courses: their place is a uniform number to this power.
        judged_until: end of the courses that the error is taken over; later visits only tell the fate.
        patients: training and validation patients together.
        settings: of the training, in Hydra's syntax.
        batch: patients (or pieces) per step.
        steps: of the training.
        refined: what is different in a second training, which begins where the first one ended; None: there is none.
        questions: visits asked per patient in a training step, drawn at random; 0 asks all.
    """

    name: str
    simulator: str
    protocol: str
    horizon: float
    visits: tuple[float, float]
    variables: tuple[Variable, ...]
    covariates: Covariates
    settings: Sequence[str]
    treated: bool = True
    overlapping: bool = False
    first_visit: bool = False
    segment: int = 0
    early: float = 1.0
    judged_until: float = float("inf")
    patients: int = 4000
    batch: int = 512
    steps: int = 2000
    refined: "Refinement | None" = None
    questions: int = 0


TEST_PATIENTS = 1000
TRAINING_SEED, TEST_SEED = 20_261, 20_262


CIRCULATION = Task(
    name="circulation",
    simulator="regazzoni_circulation",
    protocol="regazzoni_randomised",
    horizon=16.0,
    visits=(2.0, 2.0),
    variables=(
        Variable(name="systolic_pressure", unit="mm[Hg]", plausible=(0.0, 350.0)),
        Variable(name="diastolic_pressure", unit="mm[Hg]", plausible=(-20.0, 250.0)),
        Variable(name="end_diastolic_volume", unit="mL", plausible=(0.0, 600.0)),
        Variable(name="end_systolic_volume", unit="mL", plausible=(0.0, 600.0)),
        Variable(name="ejection_fraction", unit="1", plausible=(0.0, 1.0)),
        Variable(name="cardiac_output", unit="L/min", plausible=(0.0, 30.0)),
    ),
    covariates=covariates.of_circulation,
    patients=2000,
    settings=(
        "model=neural_ode",
        "solver@model.solver=midpoint",
        "model.memory=12",
        "model.hidden=80",
        "model.draws=1",
        "model.use_clock=false",
        "model.solver.max_step=1.0",
    ),
    batch=256,
    steps=900,
)
GLUCOSE = Task(
    name="glucose",
    simulator="t1d_uvapadova",
    protocol="t1d_randomised",
    horizon=1440.0,
    visits=(15.0, 15.0),
    variables=(Variable(name="glucose", unit="mg/dL", plausible=(0.0, 2000.0), transform="log", offset=100.0),),
    covariates=covariates.of_diabetes,
    patients=1000,
    settings=(
        "model=neural_flow",
        "model.memory=19",
        "model.hidden=60",
        "model.layers=3",
        "model.draws=1",
        "model.use_clock=false",
        "model.solver.max_step=1440.0",
    ),
    batch=256,
    questions=24,
    steps=1500,
)
SEIZURE = Task(
    name="seizure",
    simulator="epileptor",
    protocol="epileptor_randomised",
    horizon=4000.0,
    visits=(0.0, 20.0),
    variables=(
        Variable(name="lfp_line_length", unit="/ms", plausible=(0.0, 10.0)),
        Variable(name="ictal_share", unit="1", plausible=(0.0, 1.0)),
        Variable(name="permittivity", unit="1", plausible=(-10.0, 20.0)),
    ),
    covariates=covariates.of_epileptor,
    treated=False,
    overlapping=True,
    first_visit=True,
    segment=9,
    patients=2000,
    settings=(
        "model=neural_ode",
        "solver@model.solver=rk4",
        "model.memory=0",
        "model.hidden=72",
        "model.draws=1",
        "model.use_clock=false",
        "model.solver.max_step=20.0",
        "optimizer.lr=5.0e-3",
    ),
    batch=2048,
    steps=900,
    refined=Refinement(segment=41, early=1.0, batch=384, steps=200),
)
SEPSIS = Task(
    name="sepsis",
    simulator="reynolds_sepsis",
    protocol="reynolds_sepsis_randomised",
    horizon=1000.0,
    visits=(0.0, 5.0),
    variables=(
        Variable(name="pathogen_load", unit="10*6/mL", plausible=(0.0, 1e3), transform="log", offset=1e-3),
        Variable(name="phagocyte_activation", unit="1", plausible=(0.0, 10.0), transform="log", offset=0.03),
        Variable(name="tissue_damage", unit="1", plausible=(0.0, 100.0), transform="log", offset=0.1),
        Variable(name="anti_inflammatory_level", unit="1", plausible=(0.0, 20.0)),
    ),
    covariates=covariates.of_sepsis,
    first_visit=True,
    segment=5,
    early=2.0,
    judged_until=240.0,
    patients=1000,
    settings=(
        "model=neural_ode",
        "solver@model.solver=rk4",
        "model.memory=0",
        "model.hidden=96",
        "model.draws=1",
        "model.use_clock=false",
        "model.solver.max_step=5.0",
        "optimizer.lr=5.0e-3",
    ),
    batch=2048,
    steps=800,
    refined=Refinement(segment=9, early=8.0, batch=1024, steps=250, rate=3.0e-3),
)
TASKS = {task.name: task for task in (CIRCULATION, GLUCOSE, SEIZURE, SEPSIS)}
