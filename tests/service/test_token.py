"""The token's file."""

import pytest

from neurotwin.errors import InputError
from neurotwin.service.token import read_token, state_folder


def test_loopback_needs_none():
    assert read_token(None, "127.0.0.1") == ("", None)


def test_other_addresses_make_one_that_only_its_owner_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    token, made = read_token(None, "0.0.0.0")
    assert made == state_folder() / "token"
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(token) > 40
    assert read_token(None, "0.0.0.0") == (token, None)


def test_a_file_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "token"
    read_token(file, "127.0.0.1")
    file.chmod(0o640)
    with pytest.raises(InputError, match="others may read"):
        read_token(file, "127.0.0.1")


@pytest.mark.parametrize("content", ["", "tiny!", "with a space in it, long", "\x07" * 20, "ü" * 20])
def test_what_is_no_token(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(InputError) as caught:
        read_token(file, "127.0.0.1")
    assert not content or content not in str(caught.value)


def test_a_folder_is_no_token(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(InputError, match="cannot be read"):
        read_token(tmp_path, "127.0.0.1")
