"""neurotwin promote and registry: a candidate through the gate, and the registry of those who passed."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from neurotwin.verbs.next_step import tell_next

RegistryFolder = Annotated[
    Path, typer.Option("--registry", help="Folder of the registry.", envvar="NEUROTWIN_REGISTRY", show_default=False)
]
Name = Annotated[str, typer.Argument(help="Name of the twin.", show_default=False)]
registry = typer.Typer(no_args_is_help=True, help="What a registry holds, and the way back.")


def promote(
    bundle: Annotated[Path, typer.Argument(help="Candidate: a bundle folder, NAME@VERSION.", show_default=False)],
    registry: RegistryFolder,
    cohort: Annotated[Path, typer.Option(help="Cohort on which both are judged.", show_default=False)],
    gate: Annotated[Path, typer.Option(help="Acceptance rules (YAML).", show_default=False)],
    part: Annotated[
        str | None, typer.Option(help="all, train, validation or test; test of the cohort that it was trained on.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Patient bootstrap replicates.")] = 1000,
    json: Annotated[Path | None, typer.Option("--json", help="Write the verdict here too.")] = None,
) -> None:
    """Judge a bundle by a gate and make it the champion if every rule holds. Exit code 5 if one does not."""
    from neurotwin.disk import disk_errors, write_whole
    from neurotwin.errors import InputError
    from neurotwin.registry import Registry
    from neurotwin.verbs.monitoring import VERDICT, check_target

    check_target(json)
    keep = Registry(registry)
    keep.prepare()
    loaded, verdict = judge_bundle(bundle, keep, cohort, gate, part, bootstrap)
    _tell(verdict)
    action = keep.settle(loaded, verdict)
    if json is not None:
        with disk_errors(json, InputError):
            write_whole(json, verdict.text)
    name, version = loaded.name, loaded.version
    if action == "promote":
        print(f"{name} {version} is the champion", file=sys.stderr)
        tell_next(f'neurotwin serve "$(neurotwin registry path {name} --registry {registry})"')
        return
    print(f"{name} {version} is not promoted; the champion stays", file=sys.stderr)
    tell_next(f"neurotwin registry show {name} --registry {registry}")
    raise typer.Exit(VERDICT)


def judge_bundle(bundle: Path, keep: Any, cohort: Path, gate: Path, part: str | None, bootstrap: int) -> Any:
    """The candidate, loaded, and its verdict beside the champion of now.

    Raises:
        ConfigError: a gate file, part or registry that cannot be used, or the bundle is the champion already.
        CohortError: no such cohort, one of other channels, or too few subjects.
        ArtefactError: a bundle or the registry is damaged.
    """
    from neurotwin.errors import ConfigError
    from neurotwin.monitoring.site import read_site
    from neurotwin.registry import judge, read_gate
    from neurotwin.runtime import Predictor
    from neurotwin.verbs.monitoring import SAMPLE, sample

    rules = read_gate(gate)
    candidate = Predictor.load(bundle)
    name, champion = candidate.bundle.name, None
    if keep.folder.is_dir() and keep.aliases(name).champion is not None:
        champion = Predictor.load(keep.path(name))
        if champion.bundle.sha256 == candidate.bundle.sha256:
            raise ConfigError("the bundle is the champion already", where=str(keep.folder))
    site = read_site(cohort, candidate.bundle, candidate.schema, part)
    if champion is not None:
        read_site(cohort, champion.bundle, champion.schema, site.part)  # it must not have seen them either
    patients = sample(site.cohort, SAMPLE, candidate.signature.min_visits)
    return candidate.bundle, judge(candidate, champion, site, rules, patients=patients, n_bootstrap=bootstrap)


@registry.command("list")
def list_models(registry: RegistryFolder) -> None:
    """List the twins and who is who among their bundles."""
    from rich.console import Console
    from rich.table import Table

    from neurotwin.registry import Registry
    from neurotwin.registry.registry import ALIASES

    table = Table()
    for column in ("name", *ALIASES):
        table.add_column(column)
    for name, found in sorted(Registry(registry).history().aliases.items()):
        held = [getattr(found, alias) for alias in ALIASES]
        table.add_row(name, *("-" if one is None else f"{one.version} {one.sha256[:12]}" for one in held))
    Console().print(table)


@registry.command()
def show(name: Name, registry: RegistryFolder) -> None:
    """Show every decision about a twin, and what its champion and candidate were judged by."""
    from neurotwin.errors import ConfigError
    from neurotwin.registry import Registry

    keep = Registry(registry)
    history = keep.history()
    lines = [line for line in history.lines if line.model == name]
    if not lines:
        known = ", ".join(sorted(history.aliases)) or "nothing"
        raise ConfigError(f"no twin {name!r}", where=str(registry), expected=known)
    for line in lines:
        print(f"{line.at}  {line.action:8}  {line.bundle.version}  {line.bundle.sha256[:12]}")
    found = history.aliases[name]
    for alias, held in (("champion", found.champion), ("candidate", found.candidate)):
        if held is not None:
            print(f"{alias} {held.version}, judged by {keep.verdict_of(held).gate}:")
            for row in keep.verdict_of(held).rows:
                print(f"  {'held' if row.held else 'NOT held'}  {row.rule}: {_number(row.measured)}, asked {row.asked}")


@registry.command()
def path(
    name: Name,
    registry: RegistryFolder,
    alias: Annotated[str, typer.Option(help="champion, previous or candidate.")] = "champion",
) -> None:
    """Print the folder of a bundle, once it is checked: for serve, predict and score."""
    from neurotwin.errors import ConfigError
    from neurotwin.registry import Registry
    from neurotwin.registry.registry import ALIASES

    if alias not in ALIASES:
        raise ConfigError(f"alias {alias!r}", where="--alias", expected=", ".join(ALIASES))
    print(Registry(registry).path(name, alias))


@registry.command()
def rollback(name: Name, registry: RegistryFolder) -> None:
    """Make the previous champion the champion again."""
    from neurotwin.registry import Registry

    held = Registry(registry).rollback(name)
    print(f"{name} {held.version} is the champion again", file=sys.stderr)
    tell_next(f'neurotwin serve "$(neurotwin registry path {name} --registry {registry})"')


@registry.command()
def verify(registry: RegistryFolder) -> None:
    """Check the history, the aliases, every bundle and every verdict."""
    from neurotwin.registry import Registry

    keep = Registry(registry)
    count = keep.verify()
    print(f"{count} bundles and {len(keep.history().lines)} decisions, all as they were written")


def _tell(verdict: Any) -> None:
    """The rows as a table on stderr."""
    from rich.console import Console
    from rich.table import Table

    beside = "no champion" if verdict.champion is None else f"champion {verdict.champion.version}"
    on = f"{verdict.on.n} subjects of {verdict.on.cohort} ({verdict.on.part})"
    table = Table(title=f"{verdict.candidate.name} {verdict.candidate.version} beside {beside}, on {on}")
    for column in ("rule", "asked", "measured", "held", "note"):
        table.add_column(column)
    for row in verdict.rows:
        held = "yes" if row.held else "[bold red]no[/]"
        table.add_row(row.rule, row.asked, _number(row.measured), held, row.note)
    Console(stderr=True).print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
