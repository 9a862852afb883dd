"""The splits of a MEDS data set, ``metadata/subject_splits.parquet``, as a column ``split`` of its events."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.batches import ROWS, Texts
from neurotwin.ingest.numbers import arrow, distinct, mask_of
from neurotwin.ingest.parquet import ParquetInput

SPLIT = "split"
_SUBJECT = "subject_id"


class SubjectSplits:
    """A subject's split (``train``, ``tuning``, ``held_out`` or another); 12 bytes of memory a subject."""

    def __init__(self, source: ParquetInput) -> None:
        """Raises IngestError: the file is not of MEDS, or names a subject twice."""
        pa, _ = arrow()
        ids: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        splits: list[Texts] = [pa.array([], pa.string())]
        with source.opened() as file:
            known = file.schema_arrow.names
            if missing := [name for name in (_SUBJECT, SPLIT) if known.count(name) != 1]:
                raise IngestError(
                    f"no column {missing[0]!r}, or two", where=source.shown, expected="subject_id (int64) and split"
                )
            for batch in source.batches(file, [_SUBJECT, SPLIT], ROWS):
                if batch.column(_SUBJECT).null_count:
                    raise pa.ArrowInvalid("a split of nobody")
                ids.append(batch.column(_SUBJECT).cast(pa.int64()).to_numpy())
                splits.append(batch.column(SPLIT).cast(pa.string()))
        number = np.concatenate(ids)
        order = np.argsort(number, kind="stable")
        self._ids = number[order]
        if (np.diff(self._ids) == 0).any():
            raise IngestError("a subject in two lines", where=source.shown, expected="each subject once")
        texts, which = distinct(pa.concat_arrays(splits).fill_null(""))
        self._texts, self._which = [*texts, ""], np.asarray(which)[order]

    def of(self, subject: Any) -> Texts:
        """``[row]`` the split of each subject of a column, "" where none is told.

        Raises:
            pyarrow.ArrowInvalid: an id that is no whole number.
        """
        pa, pc = arrow()
        number = pc.fill_null(subject.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        found = np.full(len(number), len(self._texts) - 1, np.int32)
        if len(self._ids):
            at = np.minimum(np.searchsorted(self._ids, number), len(self._ids) - 1)
            same = (self._ids[at] == number) & mask_of(subject.is_valid())
            found[same] = self._which[at[same]]
        return pc.take(pa.array(self._texts, pa.string()), pa.array(found))


def find_splits(source: Path | str) -> SubjectSplits | None:
    """The splits of a data set, None where it has no such file. Raises IngestError where it cannot be used."""
    path = Path(source) / need("meds", "ehr").subject_splits_filepath
    if not path.is_file() or path.is_symlink():
        return None
    return SubjectSplits(ParquetInput(path, path.name))
