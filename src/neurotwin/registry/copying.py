"""A bundle's way into the registry."""

import shutil
from pathlib import Path

from neurotwin.bundle import MANIFEST, Bundle
from neurotwin.disk import whole_folder
from neurotwin.errors import IntegrityError


def copy_bundle(bundle: Bundle, target: Path) -> None:
    """Copy the files that the manifest names, check the copy, and put it in its place, read-only.

    Raises IntegrityError when a file changed since the bundle was loaded, OSError when it cannot be written.
    """
    with whole_folder(target) as draft:
        for name in (*bundle.manifest["files"], MANIFEST):
            copy = draft / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, copy)
            copy.chmod(0o444)
        if Bundle.load(draft).sha256 != bundle.sha256:
            raise IntegrityError("the bundle changed while it was copied", where=str(bundle.path))
