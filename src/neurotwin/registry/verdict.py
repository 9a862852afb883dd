"""The verdict: what was asked of a candidate, what was measured, and what held. Kept for good beside the bundle."""

import hashlib
import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from neurotwin.bundle import strict_json
from neurotwin.errors import IntegrityError


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(_Record):
    """One rule. ``measured`` is compared as ``asked`` says; None where it could not be measured, which does not hold.

    ``note`` says what it rests on.
    """

    rule: str
    asked: str
    measured: float | None
    held: bool
    note: str = ""


class Which(_Record):
    """A bundle."""

    name: str
    version: str
    sha256: str


class On(_Record):
    """The patients whom the bundles were judged on."""

    cohort: str
    sha256: str
    part: str
    n: int


class Verdict(_Record):
    """All rows, on whom, beside whom, and by which gate."""

    schema_version: Literal[1] = 1
    neurotwin: str
    made: str
    candidate: Which
    champion: Which | None
    on: On
    gate: str
    gate_sha256: str
    rows: tuple[Row, ...]
    held: bool

    @property
    def text(self) -> str:
        """The file's content."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    @property
    def sha256(self) -> str:
        """Hash of `text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, content: bytes, sha256: str, where: str) -> Self:
        """A verdict that was kept under its hash; raises IntegrityError when it is another, or none."""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise IntegrityError(
                "the verdict is not the one that was kept", where=where, remedy="restore the registry from its backup"
            )
        try:
            return cls.model_validate(strict_json(content))
        except (ValidationError, ValueError):
            raise IntegrityError("not a readable verdict", where=where) from None
