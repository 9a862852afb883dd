"""What a row of a NONMEM-style table says: an observation, a dose with those that it stands for, or neither.

Codes as in the NONMEM Users Guide (part IV, PREDPP): EVID 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose;
RATE 0 or none bolus, above 0 infusion, -1 and -2 modelled; ADDL further doses, each II after the one before; SS 1
steady state. Where there is no EVID, a row with an AMT other than 0 is a dose.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from neurotwin.ingest.accounting import CODES, OUT_OF_SCOPE, Reason
from neurotwin.ingest.mapping_nonmem import NonmemOptions

MOST_DOSES = 10_000
"""Additional doses of a row at most."""
DOSE, OBSERVATION = "dose", "1"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d{1,3})?", re.ASCII)
_D_EXPONENT = re.compile(r"([+-]?(?:\d+[.,]?\d*|[.,]\d+))[dD]([+-]?\d+)", re.ASCII)
_RESET, _DOSED = 1, 2
DATES = ("DATE", "DAT1", "DAT2", "DAT3")
Moment = tuple[str | Decimal | None, ...]


class NotANumber(Exception):
    """A cell that steers how a row is read is no number."""


@lru_cache(4096)
def number(text: str, decimal: str = ".") -> Decimal | None:
    """The number of a cell, None where it is empty. Raises NotANumber."""
    if not text:
        return None
    text = text.replace(",", ".", 1) if decimal == "," else text
    if not _NUMBER.fullmatch(text):
        raise NotANumber
    found = Decimal(text.upper().replace("D", "E"))
    if found and not -300 < found.adjusted() < 300:
        raise NotANumber
    return found


@lru_cache(4096)
def with_e(text: str) -> str:
    """Fortran's double ``1.0D+02`` as ``1.0E+02``; every other text as it is."""
    return _D_EXPONENT.sub(r"\1E\2", text) if _D_EXPONENT.fullmatch(text) else text


@lru_cache(4096)
def whole(text: str) -> str:
    """``2.0`` and ``2.0000E+00`` as ``2``; every other text, ``007`` also, as it is."""
    if not _NUMBER.fullmatch(text) or not set(text) & set(".EeDd"):
        return text
    found = Decimal(text.upper().replace("D", "E"))
    if found.adjusted() > 18 or found != found.to_integral_value():
        return text
    return str(int(found))


def whole_id(text: str) -> str:
    """As `whole`, but only what has a decimal point: ``1E5`` may be an id."""
    return whole(text) if "." in text else text


@dataclass
class Event:
    """What a row says.

    Attributes:
        fault: 0, the code of a `Reason`, or OUT_OF_SCOPE.
        code: what was observed, or `DOSE`.
        value: text of what was observed, "" for a dose.
        amount, rate: of a dose; ``rate`` is None for a bolus.
        offsets: of the doses that a dose stands for besides itself, in the unit of II.
        after_dose: whether the subject's last dose before this row has the row's own time.
    """

    fault: int = 0
    code: str = ""
    value: str = ""
    amount: Decimal | None = None
    rate: Decimal | None = None
    offsets: list[Decimal] = field(default_factory=list)
    after_dose: bool = False


class Interpreter:
    """Reads the rows of one file in their order, and remembers which subjects were dosed or reset.

    ``cell`` of `read` gives the text of a column by its name in capitals, "" where the file has none. ``observed`` is
    the column that tells what was observed; ``any_reset`` whether a subject was reset,
    ``additional`` how many doses rows stand for besides their own.
    """

    def __init__(self, options: NonmemOptions, observed: str | None, decimal: str) -> None:
        """``observed`` is the column that tells what was observed, None where there is none."""
        self._options, self.observed, self._decimal = options, observed, decimal
        self.any_reset, self.additional = False, 0
        self._state: dict[str, int] = {}
        self._last: dict[str, Moment] = {}

    @property
    def limited(self) -> bool:
        """Whether a column tells which observations are limits."""
        return self._options.below is not None

    def read(self, subject: str, cell: Callable[[str], str]) -> Event:
        """What a row says."""
        try:
            event = self._read(subject, cell)
        except NotANumber:
            event = Event(CODES[Reason.VALUE_NOT_A_NUMBER])
        if self._state.get(subject, 0) & _RESET:
            return Event(CODES[Reason.RESET_EVENT])
        now = self._moment(cell)
        if event.amount is not None:
            self._state[subject] = self._state.get(subject, 0) | _DOSED
            self._last[subject] = now
        event.after_dose = self._last.get(subject) == now
        return event

    def is_after_dose(self, subject: str, cell: Callable[[str], str]) -> bool:
        """Whether the subject's last dose, if there was one, has the time of a row that is not `read`."""
        return subject in self._last and self._last[subject] == self._moment(cell)

    def _moment(self, cell: Callable[[str], str]) -> Moment:
        """What tells whether two rows have one time."""
        try:
            return *map(cell, DATES), self._number(cell("TIME"))
        except NotANumber:
            return *map(cell, DATES), cell("TIME")

    def _read(self, subject: str, cell: Callable[[str], str]) -> Event:
        amount = self._number(cell("AMT"))
        kind = self._number(cell("EVID"))
        if kind is None:
            kind = Decimal(1 if amount else 0)
        if kind in (3, 4):
            self.any_reset = True
            self._state[subject] = self._state.get(subject, 0) | _RESET
        if kind not in (0, 1, 2, 3, 4):
            return Event(CODES[Reason.ROW_UNREADABLE])
        if kind == 2:
            return Event(OUT_OF_SCOPE)
        if kind == 0:
            return self._observation(cell)
        return self._dose(subject, amount, cell)

    def _observation(self, cell: Callable[[str], str]) -> Event:
        options, value = self._options, with_e(cell("DV"))
        side = self._number(cell(options.below.upper())) if options.below else None
        missing = bool(self._number(cell("MDV")))
        if side:
            limit = with_e(cell(options.limit.upper())) if options.limit else ""
            if missing and not limit:
                return Event(OUT_OF_SCOPE)
            value = f"{'<' if side > 0 else '>'}{limit or value}" if limit or value else ""
        elif missing:
            return Event(OUT_OF_SCOPE)
        return Event(code=OBSERVATION if self.observed is None else whole(cell(self.observed)), value=value)

    def _dose(self, subject: str, amount: Decimal | None, cell: Callable[[str], str]) -> Event:
        rate, interval = self._number(cell("RATE")), self._number(cell("II"))
        if amount is None:
            return Event(CODES[Reason.VALUE_MISSING])
        if rate is not None and rate < 0:
            return Event(CODES[Reason.MODELLED_RATE])
        offsets: list[Decimal] = []
        if steady := self._number(cell("SS")):
            before = self._options.steady_state
            dosed = self._state.get(subject, 0) & _DOSED  # SS = 1 would wipe out what was given before
            if steady != 1 or before is None or not interval or interval < 0 or dosed:
                return Event(CODES[Reason.STEADY_STATE])
            offsets += [-interval * count for count in range(before, 0, -1)]
        if more := self._number(cell("ADDL")):
            if not interval or interval < 0 or not 0 < more <= MOST_DOSES or more != int(more):
                return Event(CODES[Reason.ADDITIONAL_DOSES])
            offsets += [interval * count for count in range(1, int(more) + 1)]
        self.additional += len(offsets)
        return Event(code=DOSE, amount=amount, rate=rate or None, offsets=offsets)

    def _number(self, text: str) -> Decimal | None:
        return number(text, self._decimal)
