"""to-meds: a cohort as a MEDS 0.4 data set that any tool of that community can read, and `neurotwin ingest meds` too.

Codes are the schema's names: ``glucose``, and ``glucose//below``, ``glucose//above`` for censored values (then
``numeric_value`` is the limit), ``glucose//post_dose`` for what was measured after the doses of its instant;
``insulin//bolus``; ``oxygen//start`` and ``oxygen//end``; ``age`` and ``sex//female`` with null time; ``INDEX`` marks
each subject's time zero. Times are relative, so time zero is laid on one date, the epoch, for all subjects.

Beside MEDS' own columns stand ``exact_value`` (the number as a double, with ``<`` or ``>``, since ``numeric_value`` has
32 bits), ``end_time`` (of a period, null while it goes on), ``fold`` (of the subject: one split of MEDS is three folds)
and ``cohort_id`` (the cohort's id, since ``subject_id`` is a number). With ``metadata/mapping.yaml`` they make the way
back free of loss, but for times, which have microseconds, and for the ends of follow-up, which are not written.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neurotwin
from neurotwin.cohort import Cohort
from neurotwin.disk import whole_folder
from neurotwin.errors import CohortError
from neurotwin.extras import need
from neurotwin.inventory.meds_events import TIME_ZERO, Events, events_of
from neurotwin.inventory.meds_mapping import code_table, mapping_of
from neurotwin.units import conversion

EPOCH = datetime(2000, 1, 1)
SHARD = 10_000
"""Subjects of a data file at most."""
EXTRA_COLUMNS = ("exact_value", "end_time", "fold")
_SPLITS = ("train", "train", "train", "tuning", "held_out")
"""By fold, as in `Cohort.part`."""
_FIRST, _LAST = datetime(1900, 1, 1), datetime(2280, 1, 1)


@dataclass(frozen=True)
class MedsExport:
    """What was written: the folder, and how many subjects and events."""

    folder: Path
    subjects: int
    events: int


def to_meds(cohort: Cohort, output: Path, *, epoch: datetime = EPOCH) -> MedsExport:
    """Write a cohort as a MEDS data set to ``output``, whole or not at all.

    Args:
        output: folder to be; must not exist, or be empty.
        epoch: the date on which every subject's time zero is laid; one without a zone.

    Raises:
        CohortError: the folder holds something, or a time falls outside 1900 to 2280.
        ExtraMissingError: the package ``meds`` is not installed.
    """
    meds, output = need("meds", "ehr"), Path(output)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise CohortError("the output is there already", where=str(output), remedy="choose another or remove it")
    events = events_of(cohort)
    clock = _Clock(cohort.schema.time_unit, epoch)
    time, end = clock.moments(events.time), clock.moments(events.end)
    mapping = mapping_of(cohort, events, time)  # first, so that no draft is left where the cohort does not fit
    with whole_folder(output) as draft:
        _write_data(meds, cohort, events, time, end, draft)
        _write_metadata(meds, cohort, events, draft, epoch)
        (draft / "metadata" / "mapping.yaml").write_text(json.dumps(mapping, indent=1) + "\n")
    return MedsExport(output, len(cohort), len(events))


class _Clock:
    """From a cohort's relative times to moments."""

    def __init__(self, time_unit: str, epoch: datetime) -> None:
        self._unit, self._epoch = time_unit, epoch
        self._factor = conversion(time_unit, "us").factor

    def moments(self, time: NDArray[np.float64]) -> NDArray[np.datetime64]:
        """``[event]`` moments to the microsecond, NaT where the time is not finite."""
        known = np.isfinite(time)
        first, last = ((one - self._epoch).total_seconds() * 1e6 for one in (_FIRST, _LAST))
        moment = np.where(known, np.rint(np.where(known, time, 0.0) * self._factor), 0.0)
        if known.any() and ((moment < first) | (moment > last)).any():
            raise CohortError(
                f"times of this cohort, in {self._unit} from {self._epoch:%Y-%m-%d}, leave the calendar",
                expected=f"dates from {_FIRST:%Y} to {_LAST:%Y}",
                remedy="choose another epoch",
            )
        found = np.datetime64(self._epoch, "us") + moment.astype("timedelta64[us]")
        found[~known] = np.datetime64("NaT")
        return found


def subject_numbers(cohort: Cohort) -> NDArray[np.int64]:
    """``[subject]`` ids as MEDS wants them: the numbers that the ids are, or else 1 .. n in their order."""
    ids = cohort.ids.tolist()
    plain = all(len(one) < 19 and one.isascii() and one.isdecimal() and str(int(one)) == one for one in ids)
    return np.array([int(one) for one in ids] if plain else np.arange(1, len(ids) + 1), dtype=np.int64)


def _write_data(
    meds: Any,
    cohort: Cohort,
    events: Events,
    time: NDArray[np.datetime64],
    end: NDArray[np.datetime64],
    folder: Path,
) -> None:
    """The data files: subjects of a split together, each subject's events in the order of time, null times first."""
    pa, pq = need("pyarrow", "simulate"), need("pyarrow.parquet", "simulate")
    number, splits = subject_numbers(cohort), np.array(_SPLITS)[cohort.fold]
    fixed = np.isnat(time)
    order = np.lexsort((events.rank, np.where(fixed, np.datetime64(0, "us"), time), ~fixed, events.subject))
    codes, ids = pa.array(events.codes, pa.string()), pa.array(cohort.ids.tolist(), pa.string())
    for split in dict.fromkeys(_SPLITS):
        members = np.flatnonzero(splits == split)
        for shard, first in enumerate(range(0, len(members), SHARD)):
            part = members[first : first + SHARD]
            rows = order[np.isin(events.subject[order], part)]
            value = events.value[rows]
            table = pa.table(
                {
                    "subject_id": pa.array(number[events.subject[rows]]),
                    "time": pa.array(time[rows], pa.timestamp("us")),
                    "code": codes.take(pa.array(events.code[rows])),
                    "numeric_value": pa.array(value.astype(np.float32), mask=np.isnan(value)),
                    "exact_value": pa.array(_exact(value, events.censor[rows]), pa.string()),
                    "end_time": pa.array(end[rows], pa.timestamp("us")),
                    "fold": pa.array(cohort.fold[events.subject[rows]]),
                    "cohort_id": ids.take(pa.array(events.subject[rows])),
                }
            )
            path = folder / meds.data_subdirectory / split / f"{shard}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            meds.DataSchema.validate(table)
            pq.write_table(table, path, compression="zstd")


def _exact(value: NDArray[np.float64], censor: NDArray[np.int8]) -> list[str | None]:
    sign = {-1: "<", 0: "", 1: ">"}
    pairs = zip(value.tolist(), censor.tolist(), strict=True)
    return [None if one != one else f"{sign[flag]}{one!r}" for one, flag in pairs]


def _write_metadata(meds: Any, cohort: Cohort, events: Events, folder: Path, epoch: datetime) -> None:
    pa, pq = need("pyarrow", "simulate"), need("pyarrow.parquet", "simulate")
    (folder / "metadata").mkdir()
    codes = pa.Table.from_pylist(
        code_table(cohort, events),
        pa.schema(
            [
                ("code", pa.string()),
                ("description", pa.string()),
                ("parent_codes", pa.list_(pa.string())),
                ("unit", pa.string()),
            ]
        ),
    )
    meds.CodeMetadataSchema.validate(codes)
    pq.write_table(codes, folder / meds.code_metadata_filepath)
    splits = pa.table(
        {"subject_id": subject_numbers(cohort), "split": pa.array(np.array(_SPLITS)[cohort.fold].tolist(), pa.string())}
    )
    meds.SubjectSplitSchema.validate(splits)
    pq.write_table(splits, folder / meds.subject_splits_filepath)
    told = {
        "dataset_name": cohort.schema.name,
        "etl_name": "neurotwin cohort to-meds",
        "etl_version": neurotwin.__version__,
        "meds_version": meds.__version__,
        "raw_source_id_columns": ["cohort_id"],
        "other_extension_columns": list(EXTRA_COLUMNS),
    }
    licence = (cohort.provenance.get("about") or {}).get("licence")
    told |= {"license": str(licence)} if licence else {}
    meds.DatasetMetadataSchema.validate(told)
    told |= {"time_zero": epoch.replace(tzinfo=None).isoformat(), "time_zero_code": TIME_ZERO}
    (folder / meds.dataset_metadata_filepath).write_text(json.dumps(told, indent=1) + "\n")


def read_epoch(text: str) -> datetime:
    """A date ``YYYY-MM-DD``, also with a time of day. Raises CohortError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CohortError("an epoch that is no date", expected="YYYY-MM-DD", remedy="--epoch 2000-01-01") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
