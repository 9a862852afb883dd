"""A site's cohort and the bundle that is to be watched on it: do they speak of the same things, and whose are they?"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurotwin.bundle import Bundle
from neurotwin.cohort import Cohort, read_manifest
from neurotwin.errors import CohortError, ConfigError, IntegrityError
from neurotwin.schema import Schema

PARTS = ("all", "train", "validation", "test")
Chosen = Literal["all", "train", "validation", "test"]
DATA_CARD = "training/data_card.json"


@dataclass(frozen=True)
class Site:
    """Subjects, the hash of the cohort they are from, and which ``part`` of it they are."""

    cohort: Cohort
    sha256: str
    part: str
    name: str


def read_site(folder: Path, bundle: Bundle, schema: Schema, part: str | None = None) -> Site:
    """A cohort of the bundle's channels.

    Args:
        part: of the split; None takes all subjects, or the test part where the bundle was trained on this cohort.

    Raises:
        CohortError: no such cohort, or one of other channels or units.
        ConfigError: no such part, or one that the bundle has seen in training.
    """
    if part not in (None, *PARTS):
        raise ConfigError(f"part {part!r}", where="--part", expected=", ".join(PARTS))
    own = read_manifest(folder)["sha256"]
    trained = own == bundle.manifest.get("data_sha256")
    chosen = part or ("test" if trained else "all")
    if trained and chosen != "test":
        raise ConfigError(
            f"{bundle.name} {bundle.version} was trained on this cohort",
            where=f"--part {chosen}",
            expected="test, the part that it has not seen",
        )
    whole = Cohort.load(folder)
    check_channels(whole.schema, schema, str(folder))
    rotation = int(data_card(bundle).get("rotation", 0)) if trained else 0
    cohort = whole if chosen == "all" else whole.part(chosen, rotation)  # type: ignore[arg-type]
    return Site(cohort, str(own), chosen, folder.name)


def check_channels(theirs: Schema, ours: Schema, where: str) -> None:
    """Raises CohortError unless names, order, units and levels are the bundle's: nothing is converted in silence."""
    if theirs.time_unit != ours.time_unit:
        raise CohortError(f"times in {theirs.time_unit}", where=where, expected=f"the bundle's {ours.time_unit}")
    for kind in ("variables", "treatments", "statics"):
        found, known = (
            [(one.name, one.unit, getattr(one, "levels", ())) for one in getattr(schema, kind)]
            for schema in (theirs, ours)
        )
        if found != known:
            raise CohortError(
                f"other {kind} than the bundle's",
                where=where,
                expected=", ".join(f"{name} ({unit})" for name, unit, _ in known) or "none",
            )


def data_card(bundle: Bundle) -> Mapping[str, Any]:
    """What the bundle tells of the data that it was trained on; empty where it tells nothing.

    Raises IntegrityError when the file is not the one that was released.
    """
    entry = bundle.manifest["files"].get(DATA_CARD)
    if entry is None:
        return {}
    content = (bundle.path / DATA_CARD).read_bytes() if (bundle.path / DATA_CARD).is_file() else b""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise IntegrityError("the file does not match its recorded hash", where=str(bundle.path / DATA_CARD))
    return dict(json.loads(content))
