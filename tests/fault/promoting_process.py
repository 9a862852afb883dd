"""A process that promotes one new version after the other, and tells each: ``promoting_process.py REGISTRY BUNDLE``."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from neurotwin.bundle import MANIFEST, Bundle, manifest_files, sealed
from neurotwin.registry import Registry, Row, Verdict
from neurotwin.registry.verdict import On, Which


def which(bundle: Bundle) -> Which:
    return Which(name=bundle.name, version=bundle.version, sha256=bundle.sha256)


def verdict(bundle: Bundle, champion: Which | None) -> Verdict:
    return Verdict(
        neurotwin="0", made="2026-01-01T00:00:00+00:00", candidate=which(bundle), champion=champion,
        on=On(cohort="ward", sha256="0" * 64, part="all", n=100), gate="gate.yaml", gate_sha256="0" * 64,
        rows=(Row(rule="all", asked="yes", measured=1.0, held=True),), held=True,
    )  # fmt: skip


def another(source: Path, target: Path, version: str) -> Bundle:
    """The bundle under another version."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    manifest = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).write_text(sealed({**manifest, "version": version, "files": manifest_files(target)}))
    return Bundle.load(target)


def promote_on(keep: Registry, source: Path, scratch: Path, *, count: int | None = None) -> None:
    """Promote versions 0.0.1, 0.0.2 and so on from where the registry is; each is told once it stands."""
    while count is None or count > 0:
        champion = keep.aliases("toy_gru").champion if keep.folder.is_dir() else None
        number = int(champion.version.split(".")[2]) + 1 if champion else 1
        bundle = another(source, scratch / "next", f"0.0.{number}")
        beside = champion and Which(name="toy_gru", version=champion.version, sha256=champion.sha256)
        keep.settle(bundle, verdict(bundle, beside))
        print(number, flush=True)
        count = None if count is None else count - 1


if __name__ == "__main__":
    print("ready", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        promote_on(Registry(sys.argv[1]), Path(sys.argv[2]), Path(folder))
