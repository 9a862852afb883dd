"""neurotwin serve and audit."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, NAME@VERSION.", show_default=False)],
    host: Annotated[str, typer.Option(help="Address; beyond loopback a token is asked for.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name under which clients may reach it.", show_default=False)
    ] = None,
    store: Annotated[
        str, typer.Option(help="Twin store: a SQLite file or a postgresql:// URL.", envvar="NEUROTWIN_STORE")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File of the token; made when missing.", show_default=False)
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(help="Audit log; by default in the user's state folder.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    teach: Annotated[bool, typer.Option(help="Offer simulated patients to learn from.")] = False,
    fhir_map: Annotated[
        Path | None, typer.Option(help="Which codes of FHIR stand for which channel (JSON).", show_default=False)
    ] = None,
) -> None:
    """Answer over HTTP, with pages for people."""
    from neurotwin.extras import need
    from neurotwin.service import Settings
    from neurotwin.service.token import read_token, state_folder

    running = need("neurotwin.service.running", "serve")
    token, made = read_token(token_file, host)
    if made is not None:
        print(f"a token was made: {made}", file=sys.stderr)
    settings = Settings(
        bundles=tuple(str(folder) for folder in bundles),
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        token=token,
        store=store,
        audit=str(audit or state_folder() / "audit.jsonl"),
        workers=workers,
        teach=teach,
        fhir_map=str(fhir_map or ""),
    )
    running.serve(settings, lambda line: print(line, file=sys.stderr, flush=True))


def audit(log: Annotated[Path, typer.Argument(help="Audit log of neurotwin serve.", show_default=False)]) -> None:
    """Check the chain of an audit log."""
    from neurotwin.service.audit import verify_audit

    print(f"{verify_audit(log)} lines, the chain holds")
