"""Codes and quantities of FHIR as text: ``system|code``, the number as it stands, the unit in UCUM where it is said."""

from collections.abc import Iterable
from decimal import Context, Decimal

from neurotwin.ingest.accounting import Reason
from neurotwin.ingest.fhir.json import Resource, as_dict, as_list, as_text
from neurotwin.ingest.mapping import LongTable, Table

UCUM = "http://unitsofmeasure.org"
_EXACT = Context(prec=40)


def texts_of(concepts: Iterable[Resource]) -> list[str]:
    """All that CodeableConcepts say: each coding as ``system|code`` (``code`` without a system), then their texts."""
    codings = [
        (as_text(one.get("system")), as_text(one.get("code"))) for c in concepts for one in as_list(c.get("coding"))
    ]
    texts = [f"{system}|{code}" if system else code for system, code in codings if code]
    return list(dict.fromkeys([*texts, *(text for c in concepts if (text := as_text(c.get("text"))))]))


class Choice:
    """Chooses of many codings the one that a mapping names, so that a cell holds one text."""

    def __init__(self, table: Table) -> None:
        self._meant: dict[str, dict[str, frozenset[str]]] = {}
        self._dropped = {(column, text) for column, texts in table.drop.items() for text in texts}
        for column, text, meaning in _named(table):
            known = self._meant.setdefault(column, {})
            known[text] = known.get(text, frozenset()) | {meaning} - {""}
        long = table if isinstance(table, LongTable) and _only_measures(table) else None
        self._codes = None if long is None else set(self._meant.get(long.code, ()))

    def choose(self, column: str, texts: list[str]) -> str | Reason:
        """The text that the mapping names for a column, one that it drops before all; else the first, "" if none.

        CODE_AMBIGUOUS where those named stand for different variables or treatments.
        """
        for text in texts:
            if (column, text) in self._dropped:
                return text
        known = self._meant.get(column, {})
        named = [text for text in texts if text in known]
        if len({known[text] for text in named}) > 1:
            return Reason.CODE_AMBIGUOUS
        return named[0] if named else texts[0] if texts else ""

    def foreign(self, code: str | Reason) -> bool:
        """Whether a row with this code gives nothing, whatever else it says."""
        return self._codes is not None and not isinstance(code, Reason) and code != "" and code not in self._codes


def _only_measures(table: Table) -> bool:
    return not any((table.treatments, table.statics, table.index, table.birth, table.death, table.follow_up))


def _named(table: Table) -> Iterable[tuple[str, str, str]]:
    """Column, text, and what the text stands for there ("" where nothing of its own)."""
    if isinstance(table, LongTable):
        for item in table.variables:
            yield from ((table.code, code, item.variable) for code in item.codes)
            yield from ((table.value, word, "") for word in item.values)
    else:
        for cell in table.variables:
            yield from ((cell.column, word, "") for word in cell.values)
    for dose in table.treatments:
        yield from ((column, text, dose.treatment) for column, texts in dose.when.items() for text in texts)
        yield from ((dose.column or "", word, "") for word in dose.values)
    for static in table.statics:
        yield from ((column, text, "") for column, texts in static.when.items() for text in texts)
        yield from ((static.column, word, "") for word in (*static.values, *static.levels))
    for column, texts in (*table.drop.items(), *table.post_dose.items()):
        yield from ((column, text, "") for text in texts)


def number_of(quantity: Resource) -> str:
    """A Quantity's number with its comparator before it, "" where there is none."""
    value = as_text(quantity.get("value"))
    return as_text(quantity.get("comparator")) + value if value else ""


def unit_of(quantity: Resource) -> str:
    """The UCUM code, else the unit as written, else ``system|code``: a number of SNOMED must not pass for a factor."""
    code, unit, system = (as_text(quantity.get(key)) for key in ("code", "unit", "system"))
    return code if code and system == UCUM else unit or (f"{system}|{code}" if system and code else code)


def ratio_of(ratio: Resource) -> tuple[str, str]:
    """Number and unit of a Ratio such as 10 mL per 2 h (5, mL/h); ("", "") where it has none.

    A ratio that is not plainly a number (with a comparator, or per nothing) is a text that no reader takes for one.
    """
    above, below = as_dict(ratio.get("numerator")), as_dict(ratio.get("denominator"))
    number, per = above.get("value"), below.get("value", 1)
    if not isinstance(number, int | Decimal):
        return "", ""
    if not isinstance(per, int | Decimal) or per == 0 or above.get("comparator") or below.get("comparator"):
        return "ratio", ""
    try:
        value = str(number) if per == 1 else str(_EXACT.divide(Decimal(number), Decimal(per)))
    except ArithmeticError:
        return "ratio", ""
    unit, time = unit_of(above), unit_of(below)
    if not unit or not time:
        return value, ""
    return value, f"{unit}/{time}" if time.isalnum() else f"{unit}/({time})"
