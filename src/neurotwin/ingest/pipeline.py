"""The one road from a source to a cohort, whatever its format.

A reader hands out batches of text (`batches`); each is converted to events that go to buckets on disk (`convert`), and
each bucket is assembled to a part of the cohort (`build`). Memory holds a batch or a bucket, never a source.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from neurotwin.disk import disk_errors
from neurotwin.errors import IngestError
from neurotwin.ingest.batches import Reader, TextTable
from neurotwin.ingest.buckets import Buckets, buckets_for
from neurotwin.ingest.build import Gathered, finish
from neurotwin.ingest.channels import build_channels
from neurotwin.ingest.convert import Converter
from neurotwin.ingest.drafts import SCRATCH, check_output, draft_of, publish
from neurotwin.ingest.layouts import build_layout
from neurotwin.ingest.mapping import SourceMapping
from neurotwin.ingest.mapping_file import load_mapping
from neurotwin.ingest.pseudonyms import read_key
from neurotwin.ingest.report import IngestReport
from neurotwin.ingest.rows import FileAccount


def ingest(
    reader: Reader,
    source: Path | str,
    mapping: SourceMapping | Mapping[str, Any] | Path | str,
    output: Path,
    *,
    key_file: Path | None = None,
    progress: bool = True,
) -> IngestReport:
    """Read a source into a new cohort at ``output``.

    Args:
        reader: the format.
        source: a file, a folder, or what else the reader takes.
        mapping: plain data, a YAML file, or the name of a mapping that comes with neurotwin.
        output: folder of the cohort to be; must not exist, or be empty.
        key_file: key of the pseudonyms, where the mapping asks for them.
        progress: show a bar on standard error, if that is a terminal.

    Raises:
        IngestError: a file or the mapping is not usable, or no measurement was accepted.
        UnitError: the mapping declares a unit that is unknown or does not convert.
        ExtraMissingError: a package is not installed.
        ResourceError: the disk is full.
    """
    plan, output = load_mapping(mapping), Path(output)
    check_output(output)
    key = read_key(plan, key_file, outside=output)
    shown = reader.shown(source)
    with draft_of(output) as draft:
        events, scratch = draft / SCRATCH / "events", draft / SCRATCH / "reader"
        events.mkdir()
        scratch.mkdir()
        with disk_errors(shown, IngestError), _bar(progress) as bar:
            tables = reader.tables(source, plan, scratch, bar.advance)
            bar.open(sum(one.volume for one in tables))
            count = buckets_for((one.volume, plan.tables[one.table]) for one in tables)
            with Buckets(events, count) as buckets:
                gathered = Gathered(plan, buckets)
                for one in tables:
                    _read(one, gathered)
        report = IngestReport(shown, plan, gathered.rows.files, gathered.items, output=output)
        with disk_errors(output, IngestError):
            finish(gathered, draft, reader.kind, report, key)
            publish(draft, output)
    return report


def _read(source: TextTable, gathered: Gathered) -> None:
    """Read one text table to its end."""
    table = gathered.mapping.tables[source.table]
    channels = build_channels(gathered.mapping, table)
    account = FileAccount(path=source.shown)
    gathered.rows.open_file(account)
    layout, prefix = build_layout(table), gathered.mapping.subject_prefix or ""
    converter = Converter(
        source, table, channels, layout, gathered.buckets, gathered.rows, gathered.items, prefix=prefix
    )
    for batch in source.batches():
        if len(batch):
            converter.add(batch)
    account.sha256, account.size, account.columns_ignored = source.sha256, source.size, source.columns_ignored
    for quantity in channels.quantities:
        gathered.items.count_conversions(quantity.name, quantity.unit, quantity.converted)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task("reading", total=None)

    def open(self, total: int) -> None:
        """Tell how many bytes there are."""
        self._progress.update(self._task, total=total)

    def advance(self, size: int) -> None:
        """Tell that some were read."""
        self._progress.advance(self._task, size)


@contextmanager
def _bar(shown: bool) -> Iterator[_Bar]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        yield _Bar(progress)
