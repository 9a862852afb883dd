"""The last steps, the same for every format: bucket by bucket, events become a cohort on disk with its report."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import neurotwin
from neurotwin.cohort import Cohort, write_manifest, write_shard
from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import ItemAccounts
from neurotwin.ingest.assemble import Assembled, assemble
from neurotwin.ingest.buckets import Buckets
from neurotwin.ingest.flags import FlagFinder, outside_flags
from neurotwin.ingest.folds import choose_folds
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.pseudonyms import pseudonyms
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.rows import RowAccounts
from neurotwin.ingest.survey import Survey

SHARD = 50_000
"""Subjects in a shard at most."""


@dataclass
class Gathered:
    """Everything that was gathered from a source."""

    mapping: SourceMapping
    buckets: Buckets
    rows: RowAccounts = field(default_factory=RowAccounts)
    items: ItemAccounts = field(default_factory=ItemAccounts)


def finish(gathered: Gathered, draft: Path, kind: str, report: IngestReport, key: bytes | None) -> None:
    """Settle what was gathered and write the cohort with its report to ``draft``.

    Raises:
        IngestError: no measurement was accepted.
    """
    shards: list[dict[str, Any]] = []
    finder, survey = FlagFinder(gathered.mapping.cohort_schema), Survey(gathered.mapping.cohort_schema)
    counts = dict.fromkeys(("read", "kept", "without_observations"), 0)
    provenance = _provenance(gathered.mapping, kind, report)
    for number in range(gathered.buckets.count):
        cohort = _cohort_of(gathered, number, key, provenance, counts)
        finder.add(cohort)
        survey.add(cohort)
        for first in range(0, len(cohort), SHARD):
            part = cohort.take(np.arange(first, min(first + SHARD, len(cohort))))
            shards.append(write_shard(draft, len(shards), part))
        provenance = cohort.provenance
    gathered.rows.check()
    if not report.items.totals["measurements"].accepted:
        raise _nothing_accepted(report)
    report.subjects, report.survey = counts, survey.as_dict()
    report.flags = [*finder.flags(), *outside_flags(report.items.by_name)]
    report.sha256 = write_manifest(draft, gathered.mapping.cohort_schema, shards, provenance)
    report.write(draft)


def _nothing_accepted(report: IngestReport) -> IngestError:
    rejected = report.items.totals["measurements"].rejected or report.totals.rejected
    why = ", ".join(f"{reason} {count}" for reason, count in rejected.most_common(3)) or "all out of scope"
    what = f"no measurement accepted of {report.totals.read} rows ({why})"
    return IngestError(what, where=report.source, remedy="check the mapping against the file")


def _cohort_of(
    gathered: Gathered, number: int, key: bytes | None, provenance: dict[str, Any], counts: dict[str, int]
) -> Cohort:
    """The cohort of a bucket's subjects with at least one accepted item, in the order of their ids."""
    mapping, bucket = gathered.mapping, gathered.buckets.take(number)
    assembled: Assembled = assemble(mapping, bucket, gathered.rows, gathered.items)
    source_ids, n = bucket.subjects, len(bucket.subjects)
    observed = np.bincount(assembled.observations.subject, minlength=n) > 0
    treated = np.bincount(assembled.doses.subject, minlength=n) > 0
    used = observed | treated | np.isfinite(assembled.statics).any(axis=1)
    names = pseudonyms(source_ids, mapping.split_key, key)
    order = np.array(sorted(np.flatnonzero(used), key=lambda one: names[one]), dtype=np.int64)
    counts["read"] += n
    counts["kept"] += len(order)
    counts["without_observations"] += int((used & ~observed).sum())
    return Cohort.build(
        mapping.cohort_schema,
        [names[one] for one in order],
        assembled.statics[order],
        assembled.observations.by_subject().of_subjects(order),
        assembled.doses.by_subject().of_subjects(order),
        split_key=mapping.split_key,
        fold=choose_folds(
            mapping.split_key,
            [source_ids[one] for one in order],
            None if assembled.folds is None else assembled.folds[order],
        ),
        provenance=provenance,
        follow_up=None if assembled.follow_up is None else assembled.follow_up.take(order),
    )


def _provenance(mapping: SourceMapping, kind: str, report: IngestReport) -> dict[str, Any]:
    return {
        "kind": f"ingest {kind}",
        "source": report.source,
        "about": dict(mapping.about),
        "index_event": mapping.index.event,
        "pseudonymise": mapping.pseudonymise,
        "mapping": mapping.name,
        "mapping_sha256": hashlib.sha256(mapping.model_dump_json().encode()).hexdigest(),
        "files": [{"path": one.path, "sha256": one.sha256, "bytes": one.size} for one in report.files],
        "neurotwin": neurotwin.__version__,
    }
