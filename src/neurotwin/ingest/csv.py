"""Delimited text to a Cohort: ``neurotwin ingest csv SOURCE --mapping MAPPING -o COHORT``.

Each row is accounted for (`report`), nothing is guessed, and the cohort appears whole or not at all.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from neurotwin.errors import IngestError
from neurotwin.ingest.accounting import FileAccount, Reason
from neurotwin.ingest.build import Gathered, check_output, finish, os_errors
from neurotwin.ingest.channels import build_channels
from neurotwin.ingest.convert import Converter
from neurotwin.ingest.delimited import DelimitedFile, Header
from neurotwin.ingest.layouts import build_layout
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.mapping_file import load_mapping
from neurotwin.ingest.pseudonyms import read_key
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.sources import SourceFile, find_files, is_dataset

Advance = Callable[[int], object]


def ingest_csv(
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read delimited text into a new cohort at ``output``.

    Args:
        source: a file, a folder (tables of the mapping name their files in it), or ``dataset:NAME``.
        mapping: plain data, a YAML file, or the name of a mapping that comes with neurotwin.
        output: folder of the cohort to be; must not exist, or be empty.
        key_file: key of the pseudonyms, where the mapping asks for them.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        IngestError: a file or the mapping is not usable, or no measurement was accepted.
        UnitError: the mapping declares a unit that is unknown or does not convert.
        ExtraMissingError: a data set's package is not installed.
        ResourceError: the disk is full.
    """
    plan = load_mapping(mapping)
    check_output(Path(output))
    key = read_key(plan, key_file, outside=Path(output))
    gathered = Gathered(plan)
    with tempfile.TemporaryDirectory(prefix="neurotwin-") as scratch, os_errors(str(source)):
        files = find_files(source, plan, Path(scratch))
        with _bar(sum(one.path.stat().st_size for one in files), progress) as advance:
            for one in files:
                _read(one, gathered, advance)
    shown = str(source) if is_dataset(source) else Path(source).name
    return finish(gathered, "ingest csv", shown, Path(output), key)


def _read(source: SourceFile, gathered: Gathered, advance: Advance) -> None:
    """Read one file to its end."""
    table = gathered.mapping.tables[source.table]
    file = DelimitedFile(source.path, table, source.shown, advance)
    rows = file.rows()
    header = _header(next(rows, None), source.shown)
    layout = build_layout(table, header)
    channels = build_channels(gathered.mapping, table)
    ledger = gathered.ledger
    account = FileAccount(path=source.shown, columns_ignored=header.ignored)
    ledger.open_file(account)
    converter = Converter(channels, gathered.store, ledger, gathered.items)
    empty = True
    for line, row in rows:
        empty = False
        record = row if isinstance(row, Reason) else layout.record(line, row)
        if isinstance(record, Reason):
            ledger.reject(ledger.open_row(line), record)
        elif record is None:
            ledger.open_row(line)
        else:
            converter.add(record)
    if empty:
        raise IngestError("a header without rows, 0 records", where=source.shown, expected="at least one row")
    account.sha256, account.size = file.sha256, file.size
    for quantity in channels.quantities:
        gathered.items.count_conversions(quantity.name, quantity.unit, quantity.converted)


def _header(first: tuple[int, list[str] | Reason] | None, shown: str) -> Header:
    if first is None:
        raise IngestError("the file is empty, 0 records", where=shown, expected="a header and rows")
    line, fields = first
    if isinstance(fields, Reason):
        raise IngestError("the header cannot be read", where=f"{shown} line {line}", expected="names of columns")
    return Header(fields, f"{shown} line {line}")


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Advance]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("reading", total=total)
        yield lambda size: progress.advance(task, size)
