"""Damaged parquet: whatever is wrong with a file, it is one line, and never the end of the process."""

import os
import subprocess
import sys
from pathlib import Path

import parquet_damage
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import neurotwin.ingest.parquet as room
from neurotwin.errors import IngestError
from neurotwin.ingest.parquet import ParquetInput
from neurotwin.ingest.parquet_footer import DamagedFooter, read_footer


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 300), pytest.param(2, 10_000, marks=pytest.mark.full)], ids=["some", "many"]
)
@pytest.mark.fault
def test_damage_never_ends_the_process(seed, count, tmp_path, tally):
    """All of it in one process apart: an abort of pyarrow would take this one with it."""
    command = [sys.executable, parquet_damage.__file__, str(seed), str(count), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, f"{done.stdout[-20:]}: {done.stderr[-500:]}"
    assert int(done.stdout.split()[-1]) > count / 2  # the others have flipped values, which no format can tell
    tally("a damaged Parquet file ingested", tried=count)


@pytest.mark.parametrize("options", parquet_damage.WRITERS)
def test_a_footer_is_read_as_pyarrow_reads_it(options, tmp_path):
    nested = parquet_damage.table().append_column("more", [[{"a": [1, 2], "b": "x"}]] * parquet_damage.ROWS)
    for table in (parquet_damage.table(), parquet_damage.table().slice(0, 0), nested):
        pq.write_table(table, tmp_path / "a.parquet", **options)
        told, footer = pq.read_metadata(tmp_path / "a.parquet"), read_footer(tmp_path / "a.parquet")
        assert footer.rows == told.num_rows
        largest = {}
        for group in map(told.row_group, range(told.num_row_groups)):
            for chunk in map(group.column, range(group.num_columns)):
                known = largest.get(chunk.path_in_schema, 0)
                largest[chunk.path_in_schema] = max(known, chunk.total_uncompressed_size)
        assert footer.chunks == largest
    assert footer.largest("more") == max(size for name, size in largest.items() if name.startswith("more."))


def varint(value):
    number, digits = value << 1, bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def test_a_footer_that_contradicts_itself_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(5000)}), path, compression="none")
    whole, rows = path.read_bytes(), b"\x16" + varint(5000)
    at = whole.index(rows, len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"))
    path.write_bytes(whole[:at] + b"\x16" + varint(5001) + whole[at + len(rows) :])
    with pytest.raises(DamagedFooter, match="do not add up"):
        read_footer(path)
    with pytest.raises(IngestError, match="not a readable parquet file"):
        _ = ParquetInput(path, "a").footer
    path.write_bytes(whole[:4] + whole[400:])  # what the columns need is no longer there
    with pytest.raises(DamagedFooter, match="outside of the file"):
        read_footer(path)


def test_an_encrypted_or_endless_footer_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    deep = b"\x1c" * 100_000
    for content in (b"PAR1\0\0\0\0\0\0\0\0PARE", b"", b"PAR1" + deep + len(deep).to_bytes(4, "little") + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(DamagedFooter):
            read_footer(path)


def test_a_checksum_that_does_not_fit_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"a": pa.array(range(1000), pa.int64())})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    whole = bytearray(path.read_bytes())
    whole[1000] ^= 1
    path.write_bytes(whole)
    source = ParquetInput(path, "a")
    with pytest.raises(IngestError, match="not a readable"), source.opened() as file:
        list(source.batches(file, ["a"], 100))


def test_a_column_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    pq.write_table(pa.table({"a": ["x" * 100] * 10, "b": range(10)}), tmp_path / "a.parquet", use_dictionary=False)
    monkeypatch.setattr(room, "MAX_CHUNK", 500)
    source = ParquetInput(tmp_path / "a.parquet", "a")
    with source.opened() as file:
        assert sum(batch.num_rows for batch in source.batches(file, ["b"], 100)) == 10
        with pytest.raises(IngestError, match="too large for memory"):
            list(source.batches(file, ["a"], 100))


def test_nobody_asks_pyarrow_for_a_column_chunk():
    """It would end the process where the footer is damaged; see `neurotwin.ingest.parquet_footer`."""
    folder = Path(room.__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text()
        assert ".row_group(" not in text and "read_metadata" not in text, path.name
        assert path.name == "parquet.py" or "ParquetFile(" not in text, path.name
