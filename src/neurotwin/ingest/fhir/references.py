"""Where FHIR references lead: to the id of a patient, or to the codes of a medication. Kept on disk.

An address is a ``fullUrl``, or ``Type/id``. Two patients are never taken for one: an id that comes with two addresses,
or references to two servers where patients have no address, end the reading.

Two patients may be one: ``Patient.link`` says so. Then nobody here decides which of the records is the right one, or
puts them together; those that are not the main one are told as linked, whatever version of them says it:

* ``replaced-by``, ``refer``: the patient that says it (another one is to be used, or is the main one);
* ``replaces``: the other patient;
* ``seealso``: both (each is valid, and each holds but a part).
"""

import json
import re
import sqlite3
from functools import lru_cache
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.fhir.codes import texts_of
from neurotwin.ingest.fhir.files import Entry
from neurotwin.ingest.fhir.json import Resource, as_dict, as_list

NOT_A_PERSON = "NOT_A_PERSON"
"""Stands for the subject of an observation of a group, a device or a place."""
_OTHERS = ("Group", "Device", "Location", "Organization", "Procedure", "Practitioner", "Medication", "Substance")
_ADDRESS = re.compile(r"(?:(https?://\S+?)/)?([A-Z][A-Za-z]{1,40})/([A-Za-z0-9.\-_]{1,200})", re.ASCII)


class References:
    """Takes in patients and medications first, then finds them."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / "references.sqlite", isolation_level=None)
        self._base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;"
            "CREATE TABLE target (address TEXT PRIMARY KEY, what TEXT) WITHOUT ROWID;"
            "CREATE TABLE home (name TEXT PRIMARY KEY, url TEXT) WITHOUT ROWID;"
            "CREATE TABLE linked (name TEXT PRIMARY KEY) WITHOUT ROWID;"
        )
        self._patients = False
        self._servers: set[str] = set()
        self._links: list[tuple[str, str]] = []
        self._any_linked = False
        self._find = lru_cache(maxsize=65_536)(self._look_up)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def add(self, entry: Entry, shown: str) -> None:
        """Note a Patient or a Medication.

        Raises:
            IngestError: its id is known with another address, or its address with another id.
        """
        resource = as_dict(entry.resource)
        name = patient_id(entry) if entry.kind == "Patient" else resource.get("id")
        name = name if isinstance(name, str) and name.isprintable() else ""
        what = name if entry.kind == "Patient" else json.dumps(texts_of([as_dict(resource.get("code"))]))
        if not name and not entry.url:
            return
        self._patients = self._patients or entry.kind == "Patient"
        if entry.kind == "Patient":
            self._add_links(resource, name, entry.url)
        fits = not entry.url or not name or self._note("home", f"{entry.kind}/{name}", entry.url)
        for address in {entry.url, f"{entry.kind}/{name}" if name else ""} - {""}:
            fits = self._note("target", address, what) and fits
        if not fits and entry.kind == "Patient":
            raise IngestError(
                "two patients with one id or address",
                where=f"{shown} record {entry.line}",
                expected="one fullUrl for each patient's id",
                remedy="read the files of different servers apart",
            )

    def _add_links(self, resource: Resource, name: str, url: str) -> None:
        for link in as_list(resource.get("link")):
            kind, other = link.get("type"), as_dict(link.get("other")).get("reference")
            if kind != "replaces":
                self._mark_linked(name)
            if kind in ("replaces", "seealso") and isinstance(other, str):
                self._links.append((other.strip(), url))

    def settle_links(self) -> None:
        """Find the patients that others name in their links; called once, when all patients are known. One that is
        not in the source is passed over."""
        for other, url in self._links:
            found = self._found(other, url, "Patient")
            if not isinstance(found, Reason) and found not in ("", NOT_A_PERSON):
                self._mark_linked(found)
        self._links.clear()

    def _mark_linked(self, name: str) -> None:
        self._any_linked = True
        self._base.execute("INSERT OR IGNORE INTO linked (name) VALUES (?)", (name,))

    def linked(self, name: str) -> bool:
        """Whether a patient is told to be another one as well."""
        if not self._any_linked:
            return False
        return self._base.execute("SELECT 1 FROM linked WHERE name = ?", (name,)).fetchone() is not None

    def _note(self, table: str, key: str, value: str) -> bool:
        """Write down a pair; False where the key has another value already (a medication's then says nothing)."""
        column, kept = ("address", "what") if table == "target" else ("name", "url")
        self._base.execute(f"INSERT OR IGNORE INTO {table} ({column}, {kept}) VALUES (?, ?)", (key, value))
        known = self._get(table, key)
        if known != value and table == "target":
            self._base.execute("UPDATE target SET what = '' WHERE address = ?", (key,))
        return known == value

    def _get(self, table: str, key: str) -> str:
        column, kept = ("address", "what") if table == "target" else ("name", "url")
        row = self._base.execute(f"SELECT {kept} FROM {table} WHERE {column} = ?", (key,)).fetchone()
        return "" if row is None else str(row[0])

    def patient(self, reference: object, url: str) -> str | Reason:
        """Id of the patient that a Reference in the entry ``url`` names, "" where it names none, `NOT_A_PERSON`.

        Raises:
            IngestError: references to patients of two servers that cannot be told apart.
        """
        text = as_dict(reference).get("reference")
        if not isinstance(text, str) or not text.strip():
            return ""
        return self._found(text.strip(), url, "Patient")

    def medication(self, reference: object, url: str, contained: object) -> list[str] | Reason:
        """The texts of the code of the Medication that a Reference names; see `fhir.codes.texts_of`."""
        text = as_dict(reference).get("reference")
        if not isinstance(text, str) or not text:
            return Reason.REFERENCE_UNRESOLVED
        if text.startswith("#"):
            inside: list[Resource] = [one for one in as_list(contained) if one.get("id") == text[1:]]
            concept = as_dict(inside[0].get("code")) if len(inside) == 1 else {}
            return texts_of([concept]) or Reason.REFERENCE_UNRESOLVED
        found = self._found(text, url, "Medication")
        if isinstance(found, Reason) or found in ("", NOT_A_PERSON):
            return Reason.REFERENCE_UNRESOLVED
        return [str(one) for one in json.loads(found)] or Reason.REFERENCE_UNRESOLVED

    def _found(self, text: str, url: str, kind: str) -> str | Reason:
        text = text.split("/_history/")[0]
        if len(text) > 2000 or not text.isprintable():
            return Reason.REFERENCE_UNRESOLVED
        home = _ADDRESS.fullmatch(url)
        return self._find(text, home[1] or "" if home else "", kind)

    def _look_up(self, text: str, base: str, kind: str) -> str | Reason:
        if direct := self._get("target", text) if ":" in text else "":
            return direct
        parts = _ADDRESS.fullmatch(text)
        if parts is None or parts[2] != kind:
            return NOT_A_PERSON if parts is not None and parts[2] in _OTHERS else Reason.REFERENCE_UNRESOLVED
        server, name = parts[1] or base, f"{kind}/{parts[3]}"
        if server and (found := self._get("target", f"{server}/{name}")):
            return found
        there = self._get("target", name)
        if kind == "Patient" and not self._patients:
            there = parts[3]  # a source without patients: the reference itself is all that names one
        if not there or (server and self._get("home", name).startswith("http")):
            return Reason.REFERENCE_UNRESOLVED
        if server and kind == "Patient":
            self._servers.add(server)
            if len(self._servers) > 1:
                remedy = "read the records of different servers apart"
                raise IngestError("references to patients of two servers", where="the source", remedy=remedy)
        return there


def patient_id(entry: Entry) -> str:
    """A patient's id, else the UUID of its address, else ""."""
    name = as_dict(entry.resource).get("id")
    return name if isinstance(name, str) and name else entry.url.removeprefix("urn:uuid:")
