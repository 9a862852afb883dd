"""Optional dependencies: imported when needed, and named with their extra when they are missing."""

import importlib
from typing import Any

from neurotwin.errors import ExtraMissingError


def need(module: str, extra: str) -> Any:
    """Import ``module``; raises ExtraMissingError that tells which extra brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        raise ExtraMissingError(
            f"{error.name} is not installed", remedy=f"install it with: pip install 'neurotwin[{extra}]'"
        ) from None
