"""Which of several resources with one identity counts: the latest; the others are merged. Sorted on disk, in parts.

A record of 48 bytes stands for each resource; it holds hashes and times, nothing that a person could be known by.
"""

import re
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np

from neurotwin.ingest.accounting import CODES, MERGED, Outcomes, Reason
from neurotwin.ingest.dates import microseconds
from neurotwin.ingest.fhir.files import Entry
from neurotwin.ingest.fhir.json import as_dict, digest_of

PARTS, SMALL = 64, 16 << 20
"""Into how many parts records are cut, and up to which volume of the source one part is enough, in bytes."""
_RECORD = np.dtype([("identity", "S16"), ("content", "S8"), ("updated", "<i8"), ("version", "<i8"), ("number", "<i8")])
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII)
NEVER = -(2**62)


class Versions:
    """Takes in all resources of a source in one go, then tells what became of each."""

    def __init__(self, folder: Path, volume: int) -> None:
        self._folder = folder
        parts = 1 if volume <= SMALL else PARTS
        self._files: list[BinaryIO] = [(folder / f"versions-{part:02d}").open("wb") for part in range(parts)]

    def add(self, number: int, entry: Entry) -> None:
        """Note a resource, the ``number``-th of the source. One without id and ``fullUrl`` has no other versions.

        Raises:
            ValueError: text that is no Unicode.
        """
        resource = as_dict(entry.resource)
        name = resource.get("id")
        identity = entry.url or (f"{entry.kind}/{name}" if isinstance(name, str) and name else "")
        content = digest_of(resource)
        if not identity:
            return
        key = blake2b(identity.encode("utf-8", "replace"), digest_size=16).digest()
        meta = as_dict(resource.get("meta"))
        updated, version = _instant(meta.get("lastUpdated")), _version(meta.get("versionId"))
        record = np.array([(key, content, updated, version, number)], dtype=_RECORD)
        self._files[key[0] % len(self._files)].write(record.tobytes())

    def settle(self, count: int) -> Outcomes:
        """``[resource]`` 0 for the one that counts, MERGED for its copies and earlier versions, or the code of
        DUPLICATE_CONFLICT where the latest differ and nothing tells which is later. The array lies on disk."""
        outcomes: Outcomes = np.memmap(self._folder / "outcomes", dtype=np.int8, mode="w+", shape=(max(count, 1),))
        for part, file in enumerate(self._files):
            file.close()
            path = self._folder / f"versions-{part:02d}"
            records = np.frombuffer(path.read_bytes(), dtype=_RECORD)
            path.unlink()
            if len(records):
                _settle(records, outcomes)
        return outcomes

    def close(self) -> None:
        """Close the files, should nothing have been settled."""
        for file in self._files:
            file.close()


def _settle(records: np.ndarray, outcomes: Outcomes) -> None:
    _, who = np.unique(records["identity"], return_inverse=True)
    _, what = np.unique(records["content"], return_inverse=True)
    order = np.lexsort((records["number"], -records["version"], -records["updated"], who))
    records, who, what = records[order], who[order], what[order]
    first = np.flatnonzero(np.r_[True, who[1:] != who[:-1]])
    leader = np.repeat(first, np.diff(np.r_[first, len(who)]))
    level = (records["updated"] == records["updated"][leader]) & (records["version"] == records["version"][leader])
    torn = np.zeros(int(who.max()) + 1, dtype=np.bool_)
    torn[who[level & (what != what[leader])]] = True
    later = np.arange(len(who)) != leader
    outcomes[records["number"][later]] = MERGED
    outcomes[records["number"][level & torn[who]]] = CODES[Reason.DUPLICATE_CONFLICT]


def _instant(text: object) -> int:
    """Microseconds since 2000 of an instant; `NEVER` where it is none."""
    found = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return NEVER
    moment, fraction, zone = found.groups()
    try:
        time = datetime.fromisoformat(f"{moment}.{(fraction or '').ljust(6, '0')}{zone.replace('Z', '+00:00')}")
        return microseconds(time.replace(tzinfo=None)) - int((time.utcoffset() or time - time).total_seconds() * 1e6)
    except ValueError:
        return NEVER


def _version(text: object) -> int:
    """A version's number; `NEVER` where it is none (FHIR gives versions no order but that of numbers)."""
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,18}", text) else NEVER
