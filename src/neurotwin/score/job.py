"""What is scored and how: everything that the numbers depend on, as plain data that travels to workers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurotwin.bundle import Bundle
from neurotwin.cohort import read_manifest
from neurotwin.errors import ConfigError, DocumentError
from neurotwin.runtime import PlanDocument, Predictor, read_document
from neurotwin.runtime.reading import Notes, scale_time

RECORDED, UNTREATED = "recorded", "none"
PART_SIZE, BATCH = 2000, 256


@dataclass(frozen=True)
class Job:
    """Attributes:
    bundle, cohort: folders; they may be others on another machine, what is in them may not.
    bundle_sha256, cohort_sha256: of their contents.
    plan: ``none`` (nothing is given after the cut), ``recorded`` (what the record tells), or a plan document.
    after: times asked about, from the cut, in the bundle's time unit.
    cut: up to when the record is known, in the bundle's time unit; None is each subject's last visit.
    part_size: subjects of one file.
    batch: subjects of one run of a graph.
    """

    bundle: str
    bundle_sha256: str
    cohort: str
    cohort_sha256: str
    plan: str | dict[str, Any]
    after: tuple[float, ...]
    cut: float | None = None
    part_size: int = PART_SIZE
    batch: int = BATCH

    def about(self) -> dict[str, Any]:
        """What must be the same when a run is gone on with; places do not matter."""
        return {key: value for key, value in asdict(self).items() if key not in ("bundle", "cohort")} | {
            "after": list(self.after)
        }


@dataclass(frozen=True)
class Part:
    """Subjects ``first`` up to ``last`` of one shard of the cohort, which become one file."""

    number: int
    shard: str
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def name(self) -> str:
        """Of the file."""
        return f"part-{self.number:05d}.parquet"


def parts_of(cohort: Path, part_size: int) -> list[Part]:
    """The parts of a cohort, the same whoever asks."""
    parts: list[Part] = []
    for shard in read_manifest(cohort)["shards"]:
        for first in range(0, int(shard["subjects"]), part_size):
            last = min(first + part_size, int(shard["subjects"]))
            parts.append(Part(len(parts), str(shard["shard"]), first, last))
    return parts


def make_job(
    bundle: Path,
    cohort: Path,
    *,
    plan: str = UNTREATED,
    after: str = "",
    cut: float | None = None,
    part_size: int = PART_SIZE,
    batch: int = BATCH,
) -> Job:
    """A job from what a command line says.

    Args:
        plan: ``none``, ``recorded`` or the path of a plan document.
        after: such as ``30,90`` (in the bundle's time unit) or ``30,90 d``; empty takes the plan's own query, or the
            finite edges of the bundle's calibration.

    Raises:
        ArtefactError: the bundle is damaged.
        CohortError: there is no cohort.
        DocumentError: the plan cannot be read.
        ConfigError: times or sizes that cannot be used.
    """
    predictor = Predictor(Bundle.load(bundle))
    signature = predictor.signature
    document = None if plan in (UNTREATED, RECORDED) else read_document(PlanDocument, Path(plan))
    if document is not None and document.time_unit not in signature.time_units:
        expected = ", ".join(signature.time_units)
        raise DocumentError("an unknown time unit", where=f"{plan}: time_unit", expected=expected)
    if after.strip():
        times = _times(after, predictor)
    elif document is not None:
        factor = signature.time_units[document.time_unit]
        times = [scale_time(time, factor) for time in document.query.times()]
    else:
        times = [float(edge) for edge in predictor.calibration.horizons if np.isfinite(edge)]
    _check_times(times, predictor)
    if part_size < 1 or batch < 1:
        raise ConfigError("a size below 1", where="--part-size", expected="1 or more")
    if cut is not None and not np.isfinite(cut):
        raise ConfigError("a cut that is not finite", where="--cut", expected=f"a time in {signature.time_unit}")
    return Job(
        bundle=str(bundle),
        bundle_sha256=predictor.bundle.sha256,
        cohort=str(cohort),
        cohort_sha256=str(read_manifest(cohort)["sha256"]),
        plan=plan if document is None else asdict(document),
        after=tuple(sorted(set(times))),
        cut=cut,
        part_size=part_size,
        batch=batch,
    )


def _times(text: str, predictor: Predictor) -> list[float]:
    numbers, _, unit = text.strip().partition(" ")
    notes = Notes()
    factor = predictor.reader.time_factor(unit.strip() or predictor.signature.time_unit, "--after", notes)
    try:
        times = [scale_time(float(one), factor) for one in numbers.split(",")]
    except ValueError:
        times = [np.nan]
    if not np.isfinite(times).all():
        units = ", ".join(predictor.signature.time_units)
        raise ConfigError(
            f"times {text!r}", where="--after", expected=f"such as '30,90 {predictor.signature.time_unit}' in {units}"
        )
    return times


def _check_times(times: Sequence[float], predictor: Predictor) -> None:
    signature, limit = predictor.signature, float(predictor.calibration.horizons[-1])
    reach = min(signature.horizon, limit)
    if not times or min(times) <= 0:
        raise ConfigError(
            "no time after the cut" if not times else "a time that is not after the cut",
            where="--after",
            expected=f"times up to {reach:g} {signature.time_unit}, such as --after {reach / 2:g}",
        )
    if max(times) > reach * (1 + 1e-9):
        raise ConfigError(
            f"{max(times):g} {signature.time_unit} after the cut, where every subject would be abstained from",
            where="--after",
            expected=f"times up to {reach:g} {signature.time_unit}",
        )
