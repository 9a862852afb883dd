"""A line of a chain is what was written, or it is refused."""

import json

import pytest

from neurotwin.chain import START, chained, unchained

CONTENT = {"n": 3, "at": "2026-01-01", "about": {"name": "\u00e5", "share": 0.1}}


def test_a_line_comes_back():
    line = chained(CONTENT, START)
    told = unchained(line)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert told == {**CONTENT, "before": START, "hash": told["hash"]}
    assert unchained(chained(CONTENT, told["hash"]))["hash"] != told["hash"]


def test_any_changed_byte_is_refused():
    line = chained(CONTENT, START)[:-1]
    for place in range(len(line)):
        for flip in (1, 4, 32, 128):
            with pytest.raises(ValueError):  # noqa: PT011 - whichever fault is met first
                unchained(line[:place] + bytes([line[place] ^ flip]) + line[place + 1 :])


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"null", b'{"before":"x"}', b'{"before":"x","hash":1}'])
def test_what_is_no_line_is_refused(line):
    with pytest.raises(ValueError):  # noqa: PT011
        unchained(line)


def test_keys_that_were_moved_or_stand_twice_are_refused():
    told = json.loads(chained(CONTENT, START))
    moved = json.dumps(dict(sorted(told.items()))).encode()
    twice = chained(CONTENT, START).replace(b'"n":3', b'"n":4,"n":3')
    for line in (moved, twice):
        with pytest.raises(ValueError):  # noqa: PT011
            unchained(line)
