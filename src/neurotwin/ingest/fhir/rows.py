"""From a resource to its rows: checked against FHIR R4B, judged by its status, cut into the mapping's columns."""

from typing import Any, NamedTuple

from neurotwin.errors import IngestError
from neurotwin.extras import need
from neurotwin.ingest.accounting import CODES, MERGED, OUT_OF_SCOPE, Reason
from neurotwin.ingest.batches import columns_of
from neurotwin.ingest.fhir.codes import Choice
from neurotwin.ingest.fhir.columns import COLUMNS, Place, parts_of
from neurotwin.ingest.fhir.files import Entry
from neurotwin.ingest.fhir.json import Resource, as_dict, levels_of
from neurotwin.ingest.fhir.references import NOT_A_PERSON, References
from neurotwin.ingest.mapping import Table
from neurotwin.ingest.mapping_columns import nearest

_DONE = {
    "Observation": ("final", "amended", "corrected", "preliminary", "unknown"),
    "MedicationAdministration": ("completed", "in-progress", "on-hold", "stopped", "unknown"),
    "MedicationRequest": ("active", "on-hold", "completed", "stopped", "unknown"),
    "Procedure": ("completed", "in-progress", "on-hold", "stopped", "unknown"),
    "Encounter": ("arrived", "triaged", "in-progress", "onleave", "finished", "unknown"),
}
_NOT_DONE = {
    "Observation": ("registered", "cancelled"),
    "MedicationAdministration": ("not-done",),
    "MedicationRequest": ("cancelled", "draft"),
    "Procedure": ("preparation", "not-done"),
    "Encounter": ("planned", "cancelled"),
}
_MODULES = {name: f"fhir.resources.R4B.{name.lower()}" for name in COLUMNS}


class Row(NamedTuple):
    """Cells in the order of the columns, and 0 or the code of a fault."""

    cells: tuple[str, ...]
    fault: int


class RowMaker:
    """Makes the rows of one table of a mapping."""

    def __init__(self, table: Table, where: str, references: References) -> None:
        self.kind = table.table or ""
        self._references, self._choice = references, Choice(table)
        known = COLUMNS.get(self.kind)
        if known is None:
            raise IngestError(
                f"table {self.kind!r} is no resource that is read{nearest(self.kind, COLUMNS)}",
                where=where,
                expected=f"table: one of {', '.join(COLUMNS)}",
            )
        self.columns = columns_of(table)
        for name in self.columns:
            if name not in known:
                what = f"no column {name!r}{nearest(name, known)}"
                raise IngestError(what, where=where, expected=f"of {self.kind}: {', '.join(known)}")
        self._reads = [(name, known[name]) for name in self.columns]
        self._subject = self.columns.index(table.subject)
        self._code = self.columns.index("code") if "code" in self.columns else -1
        self._nothing = ("",) * len(self.columns)
        self._model: Any = getattr(need(_MODULES[self.kind], "ehr"), self.kind)

    def rows(self, entry: Entry, outcome: int) -> list[Row]:
        """The rows of a resource; ``outcome`` is what is known of it already: 0, MERGED or the code of a reason.

        Only what may enter the cohort is checked against R4B, which takes most of the time: of an earlier version, a
        copy, or a resource whose codes are not mapped, nothing is used, be it valid or not, and its rows count as that.
        """
        resource = as_dict(entry.resource)
        deep, modified = levels_of(resource)
        if deep:
            return [Row(self._nothing, outcome or entry.fault or CODES[Reason.ROW_UNREADABLE])]
        places = [Place(entry, part, self._choice, self._references) for part in parts_of(resource)]
        unused = outcome or entry.fault or all(map(self._foreign, places))
        if not unused and not self._valid(resource):
            return [Row(self._nothing, CODES[Reason.RESOURCE_INVALID])]
        status = self._judged(resource)
        fault = outcome or entry.fault or (CODES[Reason.MODIFIER_EXTENSION] if modified else 0) or status
        return [self._row(place, fault) for place in places]

    def _foreign(self, place: Place) -> bool:
        """Whether a row has a code that is not mapped."""
        return self._code >= 0 and self._choice.foreign(self._reads[self._code][1](place, "code"))

    def _row(self, place: Place, fault: int) -> Row:
        cells = [read(place, name) for name, read in self._reads]
        if fault != MERGED and self._code >= 0 and self._choice.foreign(cells[self._code]):
            return Row(self._nothing, OUT_OF_SCOPE)
        if not fault and cells[self._subject] == NOT_A_PERSON:
            fault = OUT_OF_SCOPE
        reasons = [one for one in cells if isinstance(one, Reason)]
        if not fault and reasons:
            fault = CODES[reasons[0]]
        texts = tuple(str(one) for one in cells)
        if not fault and self._references.linked(texts[self._subject]):
            fault = CODES[Reason.SUBJECT_LINKED]
        if not fault and not _is_unicode(texts):
            fault = CODES[Reason.ROW_UNREADABLE]
        return Row(self._nothing if fault else texts, fault)

    def _judged(self, resource: Resource) -> int:
        """0, or why the status speaks against using a resource."""
        if self.kind == "Patient":
            return 0
        status = resource.get("status")
        if status == "entered-in-error":
            return CODES[Reason.ENTERED_IN_ERROR]
        if status in _NOT_DONE[self.kind] or resource.get("doNotPerform") is True:
            return OUT_OF_SCOPE
        return 0 if status in _DONE[self.kind] else CODES[Reason.RESOURCE_INVALID]

    def _valid(self, resource: Resource) -> bool:
        """Whether a resource is R4B. A time in another form is no fault here: the mapping's formats judge it."""
        try:
            self._model.model_validate(resource)
        except Exception as error:  # content of a file in a validator's hands: whatever it raises, it is not valid
            told = getattr(error, "errors", None)
            faults = told(include_url=False, include_input=False) if told else []
            return bool(faults) and all("DateTime value string" in one["msg"] for one in faults)
        return True


def _is_unicode(texts: tuple[str, ...]) -> bool:
    """Whether there is no half of a surrogate pair among the texts."""
    try:
        return all(one.isascii() or one.encode("utf-8") for one in texts)
    except UnicodeEncodeError:
        return False
