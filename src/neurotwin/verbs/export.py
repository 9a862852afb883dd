"""neurotwin export: a run to a bundle, and a bundle to a model repository of Triton."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurotwin.bundle import MANIFEST, Bundle
from neurotwin.errors import ConfigError
from neurotwin.extras import need
from neurotwin.verbs.next_step import tell_next


def export(run: Path, output: Path | None, triton: Path | None, members: Sequence[Path], **how: Any) -> None:
    """Export a run, or take a bundle as it is; then lay out a repository, where one is asked for.

    Args:
        how: what `neurotwin.export.export_bundle` takes.

    Raises:
        ConfigError: a run without the folder of its bundle.
    """
    bundle = run if (run / MANIFEST).is_file() and output is None else None
    if bundle is None:
        bundle = _export_run(run, output, members, how)
        tell_next(f"neurotwin predict {bundle} PATIENT.json --plan PLAN.json")
    if triton is not None:
        from neurotwin.export import write_repository

        models = write_repository(Bundle.load(bundle), triton)
        print(f"{triton}: {', '.join(folder.name for folder in models)}; they do not abstain", file=sys.stderr)


def _export_run(run: Path, output: Path | None, members: Sequence[Path], how: dict[str, Any]) -> Path:
    if output is None:
        raise ConfigError("no folder for the bundle", where="export", remedy="name it with -o NAME@VERSION")
    need("lightning", "train")
    from neurotwin.export import export_bundle
    from neurotwin.recipes import export_source

    source = export_source(run, list(members))
    done = export_bundle(source, output, **how)
    worst = max(done.parity.values())
    sizes = ", ".join(f"{name} {size / 1000:.0f} kB" for name, size in done.sizes.items())
    print(f"{done.folder}: {sizes}; worst difference {worst:.1e} of a channel's scale", file=sys.stderr)
    return done.folder
