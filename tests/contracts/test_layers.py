"""The layer rules: as import-linter states them, and by importing the torch-free modules without the torch tower."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "neurotwin"
TORCH_FREE = (
    "sweep",
    "simulators",
    "ingest",
    "evaluation",
    "runtime",
    "store",
    "pages",
    "calibrating",
    "monitoring",
    "registry",
    "trials",
)
TORCH_FREE_FILES = (
    "chain",
    "disk",
    "errors",
    "schema",
    "units",
    "events",
    "follow_up",
    "landmarks",
    "cohort",
    "timeline",
    "scaling",
    "episodes",
    "bundle",
    "calibration",
    "extras",
    "overrides",
    "paths",
    "runge_kutta",
    "cli",
    "compose",
    "train",
)
ABSENT = ("torch", "lightning", "torchdiffeq", "safetensors", "omegaconf", "hydra", "wandb", "onnxscript")


def modules():
    below = [path.relative_to(PACKAGE.parent) for name in TORCH_FREE for path in (PACKAGE / name).rglob("*.py")]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in below]
    return sorted({*names, *(f"neurotwin.{name}" for name in TORCH_FREE_FILES)})


def in_a_process(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_layers_are_kept():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_torch_free_modules_import_without_the_torch_tower():
    names = modules()
    assert len(names) > 60
    absent = f"import sys, importlib\nfor name in {ABSENT}: sys.modules[name] = None\n"
    code = absent + "for name in sys.argv[1:]: importlib.import_module(name)"
    done = in_a_process(code, *names)
    assert done.returncode == 0, done.stderr


def test_the_process_above_would_notice_torch():
    done = in_a_process(f"import sys\nfor name in {ABSENT}: sys.modules[name] = None\nimport neurotwin.models")
    assert done.returncode != 0 and "torch" in done.stderr


@pytest.mark.parametrize("module", ["neurotwin", "neurotwin.cli", "neurotwin.runtime"])
def test_light_modules_stay_light(module):
    heavy = ("torch", "lightning", "hydra", "pandas", "scipy", "pyarrow", "wandb", "matplotlib")
    done = in_a_process(
        "import sys, importlib\nimportlib.import_module(sys.argv[1])\nprint(*(set(sys.argv[2:]) & set(sys.modules)))",
        module,
        *heavy,
    )
    assert done.returncode == 0 and done.stdout.split() == [], done.stdout + done.stderr
