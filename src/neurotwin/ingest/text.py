"""Text of a source to numbers, strictly: what is not plainly one number is rejected with a reason."""

import math
import re

from neurotwin.ingest.accounting import Reason

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = frozenset(sign + word for sign in ("", "+", "-") for word in ("inf", "infinity", "nan"))
_CENSOR = {"<": -1, "<=": -1, "\u2264": -1, ">": 1, ">=": 1, "\u2265": 1}


def read_number(text: str, decimal: str = ".") -> float | Reason:
    """A finite number in plain decimal notation; no thousands separators, no units, no words."""
    if decimal == ",":
        if "." in text:
            return Reason.VALUE_NOT_A_NUMBER
        text = text.replace(",", ".", 1)
    if not _NUMBER.fullmatch(text):
        return Reason.VALUE_NOT_FINITE if text.lower() in _NOT_FINITE else Reason.VALUE_NOT_A_NUMBER
    value = float(text)
    vanished = value == 0.0 and re.search(r"[1-9]", re.split(r"[eE]", text)[0]) is not None
    if vanished or not math.isfinite(value):
        return Reason.VALUE_NOT_FINITE
    return value + 0.0  # -0 becomes 0


def read_measurement(text: str, decimal: str = ".") -> tuple[float, int] | Reason:
    """A number with its censor flag: ``<0.5`` is (0.5, -1), ``>500`` is (500, 1), ``7`` is (7, 0)."""
    censor = 0
    for length in (2, 1):
        if text[:length] in _CENSOR:
            censor, text = _CENSOR[text[:length]], text[length:].strip()
            break
    value = read_number(text, decimal)
    return value if isinstance(value, Reason) else (value, censor)
