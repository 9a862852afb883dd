"""The benchmarks of `benchmarks/run_all.py`: how each is run, how long that takes, and what a quick run cannot tell."""

from shlex import quote
from typing import NamedTuple

COPY = "import shutil; shutil.copy('runs/demo/results.json', 'benchmarks/demo/results.json')"
ABSENT = "a larger size than a quick run has"


class Benchmark(NamedTuple):
    """A folder of benchmarks with goals of speed or memory.

    Attributes:
        name: of the folder.
        full: commands that write its results.json, without the interpreter.
        minutes: about what they take on two cores.
        full_only: parts of names of goals that a quick run does not tell, each with the reason.
        unquick: why there is no quick run; empty where there is one.
    """

    name: str
    full: tuple[str, ...]
    minutes: int
    full_only: dict[str, str] = {}
    unquick: str = ""


def _run(name: str, more: str = "") -> str:
    return f"benchmarks/{name}/run.py{more}"


BENCHMARKS = (
    Benchmark("train_step", (_run("train_step"),), 10, {", M": ABSENT, ", L": ABSENT}),
    Benchmark("onnx", (_run("onnx"),), 4),
    Benchmark("pipeline", (_run("pipeline"),), 2, {"padding with a window": "depends on the number of subjects"}),
    Benchmark("distill", (_run("distill"),), 20, {"mean absolute error": "needs a whole training"}),
    Benchmark("gpu", (_run("gpu"),), 10, {", M": "a quick run is of size S"}),
    Benchmark(
        "growth",
        (_run("growth"),),
        5,
        {"in rows": "it has fewer axes", "of memory": "it measures time", "cohort": "it has fewer parts"},
    ),
    Benchmark("cohort", (_run("cohort"), "scripts/update_readme.py"), 5, {"t1d_uvapadova": "takes minutes"}),
    Benchmark(
        "ingest",
        (_run("ingest"),),
        12,
        dict.fromkeys(("unsorted", "OMOP", "NONMEM"), "a quick run reads three of the formats"),
    ),
    Benchmark("score", (_run("score"),), 5),
    Benchmark(
        "serve",
        (_run("serve"), _run("serve", " --growth")),
        11,
        unquick="it wants both cores for itself; a short look is benchmarks/serve/run.py --quick",
    ),
    Benchmark(
        "personalise",
        tuple(_run("personalise", f" --problem {name} --evaluate-only") for name in ("geng", "t1d")),
        30,
        unquick="a fit takes seconds per patient, and exporting the twins minutes",
    ),
    Benchmark(
        "demo",
        ("-m neurotwin demo --out runs/demo", f"-c {quote(COPY)}", "scripts/update_readme.py"),
        6,
        unquick="it is a whole road from cohort to forecast",
    ),
)
ACCURACY = (
    "ablations",
    "alerts",
    "cancer",
    "counterfactual",
    "events",
    "failsafe",
    "monitor",
    "physics",
    "real",
    "recovery",
    "trials",
)
"""Folders whose goals are of accuracy alone: they are run by hand, as their pages say."""
