"""Dates of fixed width, many at once. What does not plainly fit is left to strptime, the only judge of the rest.

Only formats whose answer for a text of full width is certain are taken: numeric directives with all their digits and,
where several formats compete, something between them, so that a text splits in one way only.
"""

import re
from datetime import datetime
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurotwin.ingest.batches import Texts

_WIDTHS = {"Y": (4,), "m": (2,), "d": (2,), "H": (2,), "M": (2,), "S": (2,), "f": (1, 2, 3, 4, 5, 6), "z": (1, 5, 6)}
_LIMITS = {"Y": (2, 9998), "m": (1, 12), "d": (1, 31), "H": (0, 23), "M": (0, 59), "S": (0, 59), "f": (0, 999_999)}
_TOKEN = re.compile(r"%(.)|([^%])", re.DOTALL)
_ORIGIN = np.datetime64("2000-01-01").astype("datetime64[D]").astype(np.int64)
DAY = 86_400_000_000
"""Microseconds of a day."""

Index = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class _Token(NamedTuple):
    directive: str  # "" for a character that stands for itself
    literal: str


def microseconds(moment: datetime) -> int:
    """Microseconds since 2000 of a time without a zone."""
    gap = moment - datetime(2000, 1, 1)
    return gap.days * DAY + gap.seconds * 1_000_000 + gap.microseconds


class FixedFormats:
    """The formats of one column, if all of them can be read at fixed positions.

    ``wall``: a zone is dropped; otherwise it brings the time to universal time.
    """

    def __init__(self, formats: tuple[str, ...], *, wall: bool = False) -> None:
        self._wall = wall
        found = [_tokens(one) for one in formats]
        known = [tokens for tokens in found if tokens is not None]
        fit = len(known) == len(found) and (len(known) == 1 or all(_separated(one) for one in known))
        self._formats = known if fit else []

    def read(self, text: Texts) -> tuple[Index, Mask]:
        """``[cell]`` microseconds since 2000, and which cells plainly are one such time."""
        moment, count = np.zeros(len(text), np.int64), np.zeros(len(text), np.int8)
        if not self._formats or not len(text):
            return moment, count > 0
        offsets, data = _buffers(text)
        length = np.diff(offsets)
        lengths = np.flatnonzero(np.bincount(np.minimum(length, 64)))
        for tokens in self._formats:
            for widths in product(*(_WIDTHS[one.directive] if one.directive else (1,) for one in tokens)):
                if sum(widths) not in lengths:
                    continue
                rows = np.flatnonzero(length == sum(widths))
                letters = data[offsets[rows][:, None] + np.arange(sum(widths))]
                found, fits = self._parse(letters, tokens, widths)
                differs = (count[rows] > 0) & fits & (moment[rows] != found)
                count[rows[fits]] = 1
                count[rows[differs]] = 2
                moment[rows[fits]] = found[fits]
        return moment, count == 1

    def _parse(self, letters: Bytes, tokens: list[_Token], widths: tuple[int, ...]) -> tuple[Index, Mask]:
        fits = np.ones(len(letters), dtype=np.bool_)
        part = {name: np.zeros(len(letters), np.int64) for name in "HMSfz"}
        at = 0
        for token, width in zip(tokens, widths, strict=True):
            cell, at = letters[:, at : at + width], at + width
            if not token.directive:
                fits &= _lower(cell[:, 0]) == ord(token.literal.lower())
            elif token.directive == "z":
                part["z"], good = _offset(cell)
                fits &= good
            else:
                part[token.directive], good = _digits(cell)
                low, high = _LIMITS[token.directive]
                if token.directive == "f":
                    part["f"] *= 10 ** (6 - width)
                fits &= good & (part[token.directive] >= low) & (part[token.directive] <= high)
        month = np.where(fits, (part["Y"] - 1970) * 12 + part["m"] - 1, 0)
        first, after = (m.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for m in (month, month + 1))
        fits &= first + part["d"] <= after
        seconds = part["H"] * 3600 + part["M"] * 60 + part["S"] - (0 if self._wall else part["z"])
        return (first + part["d"] - 1 - _ORIGIN) * DAY + seconds * 1_000_000 + part["f"], fits


def _tokens(text: str) -> list[_Token] | None:
    tokens: list[_Token] = []
    for directive, literal in _TOKEN.findall(text):
        if directive and directive not in _WIDTHS:
            return None
        if literal and (not literal.isascii() or literal.isdigit() or (literal.isspace() and literal != " ")):
            return None
        if literal == " " and tokens and tokens[-1].literal == " ":
            return None
        tokens.append(_Token(directive, literal))
    names = [one.directive for one in tokens if one.directive]
    whole = len(set(names)) == len(names) and set(names) >= set("Ymd") and (names[-1] == "z" or "z" not in names)
    return tokens if whole and len(tokens) < 40 else None


def _separated(tokens: list[_Token]) -> bool:
    pairs = zip(tokens, tokens[1:], strict=False)
    return not any(one.directive and other.directive not in ("", "z") for one, other in pairs)


def _buffers(text: Texts) -> tuple[Index, Bytes]:
    _, offsets, data = text.buffers()
    offsets = np.frombuffer(offsets, dtype=np.int32)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    return offsets, np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, np.uint8)


def _lower(letters: Bytes) -> Bytes:
    return np.where((letters >= ord("A")) & (letters <= ord("Z")), letters + 32, letters).astype(np.uint8)


def _digits(cell: Bytes) -> tuple[Index, Mask]:
    digit = cell.astype(np.int64) - ord("0")
    good = np.asarray(((digit >= 0) & (digit <= 9)).all(axis=1))
    return np.asarray(digit @ (10 ** np.arange(cell.shape[1] - 1, -1, -1))), good


def _offset(cell: Bytes) -> tuple[Index, Mask]:
    """Seconds east of Greenwich: Z, +HHMM or +HH:MM."""
    if cell.shape[1] == 1:
        return np.zeros(len(cell), np.int64), cell[:, 0] == ord("Z")
    east = cell[:, 0] == ord("+")
    good = east | (cell[:, 0] == ord("-"))
    if cell.shape[1] == 6:
        good &= cell[:, 3] == ord(":")
    hours, fine = _digits(cell[:, 1:3])
    minutes, plain = _digits(cell[:, -2:])
    good &= fine & plain & (hours <= 23) & (minutes <= 59)
    return np.where(east, 1, -1) * (hours * 3600 + minutes * 60), good
