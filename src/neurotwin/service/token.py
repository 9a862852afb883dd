"""The token that clients show, in a file that only its owner can read."""

import os
import secrets
from pathlib import Path

from neurotwin.errors import InputError
from neurotwin.service.settings import is_loopback

SHORTEST_TOKEN = 16


def state_folder() -> Path:
    """Where the service keeps what is its own: $XDG_STATE_HOME/neurotwin."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "neurotwin"


def read_token(file: Path | None, host: str) -> tuple[str, Path | None]:
    """The token that clients must show, and the file that was made for it, if one was.

    Empty on loopback unless a file is told. Raises InputError when it cannot be read or made, or others may read it.
    """
    made = None
    if file is None:
        if is_loopback(host):
            return "", None
        file = state_folder() / "token"
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(secrets.token_urlsafe(32) + "\n")
            made = file
        if file.stat().st_mode & 0o077:
            raise InputError("others may read the token", where=str(file), remedy=f"chmod 600 {file}")
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        reason = f"the token cannot be read or made ({type(error).__name__})"
        raise InputError(reason, where=str(file), expected="a file that only you can read") from None
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise InputError("not a token", where=str(file), expected=f"{SHORTEST_TOKEN} or more characters, no space")
    return token, made
