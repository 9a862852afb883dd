"""Draw docs/simulators/README.md, the gallery: one picture per model, made by the shipped code.

python scripts/draw_simulators.py [NAME ...]     only some pictures; the page always lists all
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurotwin import compose
from neurotwin.simulators.protocols import VisitTimes
from neurotwin.simulators.simulate import simulate
from neurotwin.simulators.summary_plot import draw_summary

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "simulators"
HEAD = """# The simulators

Published models, one file, one YAML and one sheet each. Every picture shows 30 virtual patients of the model's own
population under its default protocol, without assay error (`python scripts/draw_simulators.py`).
"""


def main(chosen: list[str]) -> None:
    names = sorted(path.stem for path in (ROOT / "conf" / "simulator").glob("*.yaml"))
    text = [HEAD]
    for name in names:
        told = (ROOT / "conf" / "simulator" / f"{name}.yaml").read_text().splitlines()[0].removeprefix("# ")
        text.append(f"## [{name}]({name}.md)\n\n{told.split(' Sheet:')[0]}\n\n![{name}](images/{name}.png)\n")
        if not chosen or name in chosen:
            draw(name)
    (PAGE / "README.md").write_text("\n".join(text))


def draw(name: str) -> None:
    config = compose.compose("simulate", [f"simulator={name}"])
    simulator, population, protocol = (
        compose.build(config[key], key) for key in ("simulator", "population", "protocol")
    )
    first = getattr(protocol.visits, "start", 0.0)
    dense = replace(protocol, visits=VisitTimes(np.linspace(first, protocol.horizon, 150).tolist()))
    cohort = simulate(simulator, population, dense, n_subjects=30, seed=1, noise=False)
    (PAGE / "images").mkdir(exist_ok=True)
    draw_summary(cohort, PAGE / "images" / f"{name}.png", title=name)


if __name__ == "__main__":
    main(sys.argv[1:])
