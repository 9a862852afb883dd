"""The last steps, the same for every format: assembled events become a cohort on disk with its report."""

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path
from typing import Any

import numpy as np

import neurotwin
from neurotwin.cohort import Cohort, fold_of
from neurotwin.errors import IngestError, ResourceError
from neurotwin.ingest.accounting import ItemAccounts, RowLedger
from neurotwin.ingest.assemble import Assembled, assemble
from neurotwin.ingest.flags import find_flags
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.pseudonyms import pseudonyms
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.store import Store


@dataclass
class Gathered:
    """Everything that a reader gathers from a source."""

    mapping: SourceMapping
    store: Store = field(default_factory=Store)
    ledger: RowLedger = field(default_factory=RowLedger)
    items: ItemAccounts = field(default_factory=ItemAccounts)


def finish(gathered: Gathered, kind: str, source: str, output: Path, key: bytes | None) -> IngestReport:
    """Settle what was gathered and write the cohort with its report.

    Raises:
        IngestError: no measurement was accepted, or the output cannot be written.
        ResourceError: the disk is full.
    """
    assembled = assemble(gathered.mapping, gathered.store, gathered.ledger, gathered.items)
    report = IngestReport(source, gathered.mapping, gathered.ledger.files, gathered.items, output=output)
    if not len(assembled.observations):
        raise _nothing_accepted(report)
    cohort = _build_cohort(gathered, assembled, kind, key, report)
    with os_errors(str(output)):
        _write(cohort, report)
    return report


def check_output(output: Path) -> None:
    """Refuse a folder that holds anything. Raises IngestError."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise IngestError("the output is there already", where=str(output), remedy="choose another or remove it")


@contextmanager
def os_errors(where: str) -> Iterator[None]:
    """Turn what the system refuses into one line: ResourceError for a full disk, else IngestError."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or "the system refused").lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(what, where=where, remedy="free some space") from None
        raise IngestError(what, where=where, remedy="check the path and its permissions") from None


def _nothing_accepted(report: IngestReport) -> IngestError:
    rejected = report.items.totals["measurements"].rejected or report.totals.rejected
    why = ", ".join(f"{reason} {count}" for reason, count in rejected.most_common(3)) or "all out of scope"
    what = f"no measurement accepted of {report.totals.read} rows ({why})"
    return IngestError(what, where=report.source, remedy="check the mapping against the file")


def _build_cohort(
    gathered: Gathered, assembled: Assembled, kind: str, key: bytes | None, report: IngestReport
) -> Cohort:
    """The cohort of all subjects with at least one accepted item, in the order of their ids."""
    mapping, source_ids = gathered.mapping, list(gathered.store.subjects)
    n = len(source_ids)
    observed = np.bincount(assembled.observations.subject, minlength=n) > 0
    treated = np.bincount(assembled.doses.subject, minlength=n) > 0
    used = observed | treated | np.isfinite(assembled.statics).any(axis=1)
    names = pseudonyms(source_ids, mapping.split_key, key)
    order = np.array(sorted(np.flatnonzero(used), key=lambda one: names[one]), dtype=np.int64)
    cohort = Cohort.build(
        mapping.cohort_schema,
        [names[one] for one in order],
        assembled.statics[order],
        assembled.observations.by_subject().of_subjects(order),
        assembled.doses.by_subject().of_subjects(order),
        split_key=mapping.split_key,
        fold=[fold_of(mapping.split_key, source_ids[one]) for one in order],
        provenance=_provenance(mapping, kind, report),
    )
    without = int((used & ~observed).sum())
    report.subjects = {"read": n, "kept": len(order), "without_observations": without}
    report.flags = find_flags(cohort)
    return cohort


def _provenance(mapping: SourceMapping, kind: str, report: IngestReport) -> dict[str, Any]:
    return {
        "kind": kind,
        "source": report.source,
        "about": dict(mapping.about),
        "index_event": mapping.index.event,
        "pseudonymise": mapping.pseudonymise,
        "mapping": mapping.name,
        "mapping_sha256": hashlib.sha256(mapping.model_dump_json().encode()).hexdigest(),
        "files": [{"path": one.path, "sha256": one.sha256, "bytes": one.size} for one in report.files],
        "neurotwin": neurotwin.__version__,
    }


def _write(cohort: Cohort, report: IngestReport) -> None:
    """Write beside the output, then rename: whoever looks sees a whole cohort or none."""
    output = report.output
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.parent / f".{output.name}.{getpid()}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        report.sha256 = cohort.save(draft)
        report.write(draft)
        check_output(output)
        if output.exists():
            output.rmdir()
        draft.rename(output)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
