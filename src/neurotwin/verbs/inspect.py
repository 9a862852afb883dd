"""neurotwin inspect and neurotwin models."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from neurotwin.bundle import Bundle
from neurotwin.errors import ArtefactError, BundleError


def print_bundle(path: Path) -> None:
    """Print the signature of a bundle for people."""
    bundle, console = Bundle.load(path), Console()
    signature, manifest = bundle.signature, bundle.manifest
    console.print(
        f"[bold]{bundle.name} {bundle.version}[/bold]  sha256 {bundle.sha256[:16]}…  "
        f"{'simulated' if manifest['synthetic'] else 'real'} subjects"
    )
    console.print(manifest["intended_use"])
    console.print(f"Not for: {manifest['not_for']}")
    console.print(
        f"Time in {signature['time_unit']}; forecasts up to {signature['trained_horizon']:g}; "
        f"at least {signature['min_visits']} visits; "
        f"{signature['draws']} joint draws; counterfactual {signature['counterfactual']}"
    )
    for title, channels in signature["channels"].items():
        table = Table(title=title, title_justify="left")
        for column in ("name", "unit or levels", "plausible", "trained", "accepted units"):
            table.add_column(column)
        for channel in channels:
            table.add_row(
                channel["name"],
                ", ".join(channel.get("levels") or []) or channel["unit"],
                _range(channel["plausible"]),
                _range(channel.get("trained")),
                " ".join(channel["units"]),
            )
        if channels:
            console.print(table)


def print_bundles(folder: Path) -> None:
    """List bundles below a folder; raises BundleError when there is no such folder."""
    if not folder.is_dir():
        raise BundleError("no such folder", where=str(folder), expected="a folder with bundles, NAME@VERSION")
    table = Table()
    for column in ("bundle", "version", "variables", "subjects", "state"):
        table.add_column(column)
    for path in sorted(folder.glob("*@*")):
        table.add_row(*_row(path))
    Console().print(table)


def _row(path: Path) -> tuple[str, ...]:
    try:
        bundle = Bundle.load(path)
    except ArtefactError as error:
        return path.name, "-", "-", "-", f"refused: {error.what}"
    names = ", ".join(channel["name"] for channel in bundle.signature["channels"]["observations"])
    return path.name, bundle.version, names, "simulated" if bundle.manifest["synthetic"] else "real", "whole"


def _range(span: Any) -> str:
    if span is None:
        return "-"
    low, high = ("open" if end is None else f"{end:g}" for end in span)
    return f"{low} to {high}"
