"""Folds that a source tells of its subjects, in place of the hash of their ids (`cohort.fold_of`).

A text of the source stands for one fold or for several: MEDS has three splits and a cohort five folds, so that
``train`` is 0, 1 or 2, and which of them is told by the hash of the subject's id.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurotwin.cohort import N_FOLDS, fold_of
from neurotwin.ingest.accounting import CODES, Outcomes, Reason
from neurotwin.ingest.batches import Texts
from neurotwin.ingest.mapping_columns import FoldColumn
from neurotwin.ingest.numbers import distinct, filled


def read_folds(column: FoldColumn, text: Texts) -> tuple[NDArray[np.float64], Outcomes]:
    """``[cell]`` the folds that it allows, as bits of a number, 0 where it is empty; and FOLD_UNKNOWN or 0."""
    meant = {one: sum(1 << fold for fold in folds) for one, folds in column.meaning.items()}
    texts, which = distinct(text)
    folds = np.array([meant.get(one, 0) for one in texts], dtype=np.float64)[which]
    wrong = (folds == 0) & filled(text)
    return folds, np.where(wrong, CODES[Reason.FOLD_UNKNOWN], 0).astype(np.int8)


def choose_folds(split_key: str, ids: Sequence[str], told: NDArray[np.float64] | None) -> list[int]:
    """The fold of each subject: by its id's hash, or, where ``told`` says so, one of those allowed."""
    if told is None:
        return [fold_of(split_key, one) for one in ids]
    return [_one_of(int(bits), f"{split_key}:{one}") for one, bits in zip(ids, told.tolist(), strict=True)]


def _one_of(bits: int, text: str) -> int:
    allowed = [fold for fold in range(N_FOLDS) if bits >> fold & 1]
    return allowed[int(hashlib.sha256(text.encode()).hexdigest(), 16) % len(allowed)]
