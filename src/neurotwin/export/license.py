"""The text of the licence that every bundle carries."""

import os
from importlib.resources import files
from pathlib import Path


def license_text() -> bytes:
    """LICENSE of the installed package, or of the repository; where neither has one, its name and address."""
    packaged = files("neurotwin").joinpath("LICENSE")
    if packaged.is_file():
        return packaged.read_bytes()
    for folder in Path(__file__).resolve().parents:
        if (folder / "LICENSE").is_file():
            return (folder / "LICENSE").read_bytes()
    return b"Apache License, Version 2.0: http://www.apache.org/licenses/LICENSE-2.0" + os.linesep.encode()
