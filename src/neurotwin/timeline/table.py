"""The padded table that a timeline is."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Padded event rows of a batch of subjects.

    Attributes:
        start: ``[batch]`` clock at the first row, in the schema's time unit.
        static, static_mask: ``[batch, static]`` encoded covariates; mask 0 where missing.
        dt: ``[batch, row]`` length of the row, >= 0.
        control: ``[batch, row, control]`` rates or levels held during the row.
        jump: ``[batch, row, control]`` amounts given at the start of the row.
        value, mask, censor: ``[batch, row, obs]`` what was observed at the END of the row; censor -1 / 0 / 1.
        query: ``[batch, row]`` 1 where a forecast is asked.
        query_at: ``[batch, row]`` where in the row it is asked, as a fraction of dt.
        peek: ``[batch, row]`` 1 where the row only serves its query and its END state is forgotten.
        query_row: ``[query]`` row of each query, in the order asked (its subject is the query table's).
    """

    start: Array
    static: Array
    static_mask: Array
    dt: Array
    control: Array
    jump: Array
    value: Array
    mask: Array
    censor: Array
    query: Array
    query_at: Array
    peek: Array
    query_row: Index

    @property
    def n_subjects(self) -> int:
        """Length of the batch axis."""
        return int(self.dt.shape[0])

    @property
    def n_rows(self) -> int:
        """Length of the row axis, padding included; at least 1."""
        return int(self.dt.shape[1])

    @property
    def clock(self) -> Array:
        """``[batch]`` clock after the last row."""
        return np.asarray(self.start + np.where(self.peek > 0, 0.0, self.dt).sum(axis=1))

    def take(self, subjects: NDArray[Any]) -> Self:
        """The rows of some subjects (``query_row`` is dropped)."""
        content = {item.name: getattr(self, item.name)[subjects] for item in fields(self) if item.name != "query_row"}
        return type(self)(**content, query_row=np.zeros(0, np.int64))
