"""A bundle issued again with another calibration: graphs, signature and golden cases stay, byte for byte."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurotwin import __version__
from neurotwin.bundle import CALIBRATION, MANIFEST, Bundle, manifest_files, sealed
from neurotwin.calibrating.card import told_again
from neurotwin.disk import disk_errors, whole_folder
from neurotwin.errors import ConfigError
from neurotwin.runtime import Predictor

CARD = "MODEL_CARD.md"


def check_target(target: Path, bundle: Bundle) -> str:
    """The new version; raises ConfigError unless ``target`` is a folder to be, of the bundle's name and a version of
    its own."""
    found = re.fullmatch(r"([a-z][a-z0-9_]*)@(\d+\.\d+\.\d+)", target.name)
    if not found or found.group(1) != bundle.name or found.group(2) == bundle.version:
        raise ConfigError(
            f"bundle folder {target.name!r}",
            where=str(target),
            expected=f"{bundle.name}@VERSION, another version than {bundle.version}",
        )
    if target.exists():
        raise ConfigError("the bundle exists already", where=str(target), remedy="raise the version, or remove it")
    return found.group(2)


def reissue(bundle: Bundle, calibration: Mapping[str, Any], target: Path) -> Predictor:
    """Write the bundle with this content of ``calibration.json`` as a new version, and load it as anybody would.

    The manifest names the bundle that it was made from (``parent``), and the model card tells the new calibration.

    Raises:
        ConfigError: see `check_target`; or the folder cannot be written.
        BundleError: the calibration does not fit the bundle; nothing is left behind.
    """
    version = check_target(target, bundle)
    Predictor(replace(bundle, calibration=calibration))  # which checks that it fits
    with disk_errors(target, ConfigError), whole_folder(target) as draft:
        for name in bundle.manifest["files"]:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, draft / name)
        text = json.dumps(dict(calibration), indent=1, allow_nan=False) + "\n"
        (draft / CALIBRATION).write_text(text, encoding="utf-8")
        parent = {"version": bundle.version, "sha256": bundle.sha256}
        card = told_again((draft / CARD).read_text(encoding="utf-8"), bundle, version, calibration)
        (draft / CARD).write_text(card, encoding="utf-8")
        manifest = {
            **bundle.manifest,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {**bundle.manifest.get("versions", {}), "calibrated_by": __version__},
            "parent": parent,
            "files": manifest_files(draft),
        }
        (draft / MANIFEST).write_text(sealed(manifest), encoding="utf-8")
        Predictor.load(draft)
    return Predictor.load(target)
