"""A folded solve that misses parity is left for one that takes each step as the model does."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from neurotwin.errors import ParityError
from neurotwin.models import Surrogate
from neurotwin.solvers import MlpField
from neurotwin.solvers.folded import EXACT, Variant

LOG = logging.getLogger(__name__)
Written = TypeVar("Written")


def written_where_it_agrees(
    model: Surrogate, draft: Path, variant: Variant, write: Callable[[Variant], Written]
) -> Written:
    """What ``write`` leaves in the folder ``draft`` of the variant asked for, or of the exact one where that misses
    parity, which is logged.

    Raises:
        ParityError: neither agrees, or there is nothing folded in the model.
    """
    try:
        return write(variant)
    except ParityError as error:
        if variant == EXACT or not any(isinstance(part, MlpField) for part in model.modules()):
            raise
        LOG.warning("%s; the %s variant is left for the exact one", error, variant)
    shutil.rmtree(draft)
    draft.mkdir()
    return write(EXACT)
