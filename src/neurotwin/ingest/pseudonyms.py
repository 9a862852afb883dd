"""Subject ids as they enter a cohort: as they are (public data), or as keyed hashes."""

import hashlib
import hmac
import stat
from collections.abc import Sequence
from pathlib import Path

from neurotwin.errors import IngestError
from neurotwin.ingest.mapping import SourceMapping

MIN_KEY, MAX_KEY = 32, 1 << 16


def read_key(mapping: SourceMapping, path: Path | None, outside: Path) -> bytes | None:
    """The key of the pseudonyms, None where the mapping asks for none.

    Only the file's owner may read it, and it must not lie in the folder ``outside``, the cohort's.

    Raises:
        IngestError: a key that the mapping does not ask for, or none where it does; no such file, one that others may
            read, a short key, or one that would travel with the cohort.
    """
    if mapping.pseudonymise == "none":
        if path is not None:
            raise IngestError("a key, but no pseudonyms", where=mapping.name, remedy="set pseudonymise: hmac")
        return None
    if path is None:
        raise IngestError("no key for the pseudonyms", where=mapping.name, remedy="name a key file with --key-file")
    return _checked(Path(path), Path(outside))


def _checked(path: Path, outside: Path) -> bytes:
    wanted = f"{MIN_KEY} to {MAX_KEY} random bytes"
    if not path.is_file():
        remedy = "make one with: (umask 077; head -c 32 /dev/urandom > FILE)"
        raise IngestError("no key file here", where=str(path), expected=wanted, remedy=remedy)
    if outside.resolve() in path.resolve().parents:
        raise IngestError("the key file lies in the cohort's folder", where=str(path), remedy="keep it elsewhere")
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IngestError("others may read the key file", where=str(path), remedy="chmod 600 it")
    if not MIN_KEY <= status.st_size <= MAX_KEY:
        raise IngestError(f"a key of {status.st_size} bytes", where=str(path), expected=wanted)
    return path.read_bytes()


def pseudonyms(ids: Sequence[str], split_key: str, key: bytes | None) -> list[str]:
    """The ids themselves without a key, else HMAC-SHA256 of ``split_key:id`` in hexadecimal."""
    if key is None:
        return list(ids)
    return [hmac.new(key, f"{split_key}:{one}".encode(), hashlib.sha256).hexdigest() for one in ids]
