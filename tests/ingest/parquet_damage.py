"""Damaged parquet files: cut, with flipped bits, with overwritten bytes, in the footer and in the pages.

Run as a script it reads so many of them in this one process: python parquet_damage.py SEED COUNT FOLDER
"""

import random
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from neurotwin.errors import IngestError
from neurotwin.ingest.meds.columns import as_text as meds_text
from neurotwin.ingest.omop.parquet import as_text as omop_text
from neurotwin.ingest.parquet import ParquetInput

ROWS = 600
WRITERS = (
    {"compression": "snappy", "row_group_size": 250},
    {"compression": "none", "use_dictionary": False, "row_group_size": 90, "version": "1.0"},
    {"compression": "zstd", "data_page_version": "2.0", "use_dictionary": False,
     "column_encoding": {"subject_id": "DELTA_BINARY_PACKED", "code": "DELTA_BYTE_ARRAY",
                         "numeric_value": "BYTE_STREAM_SPLIT", "text_value": "DELTA_LENGTH_BYTE_ARRAY"}},
    {"compression": "gzip", "data_page_version": "2.0", "row_group_size": 200},
    {"compression": "lz4", "write_page_checksum": True, "write_page_index": True},
)  # fmt: skip
"""Options of pyarrow's writer."""


def table():
    """Columns of every plain type."""
    count = range(ROWS)
    return pa.table({
        "subject_id": pa.array([n // 9 for n in count]),
        "time": pa.array([datetime(2020, 1, 1) + timedelta(hours=n) for n in count], pa.timestamp("us")),
        "code": [f"LAB//{n % 7}" for n in count],
        "numeric_value": pa.array([n / 7 for n in count], pa.float32()),
        "text_value": pa.array([f"<{n}" if n % 3 else None for n in count], pa.large_string()),
        "amount": pa.array([Decimal(n) / 4 for n in count], pa.decimal128(12, 2)),
        "day": pa.array(list(count), pa.date32()),
        "kept": [n % 2 == 0 for n in count],
        "kind": pa.array([f"k{n % 5}" for n in count]).dictionary_encode(),
    })  # fmt: skip


def whole_files(folder):
    """One file of each writer, as bytes."""
    for number, options in enumerate(WRITERS):
        pq.write_table(table(), folder / f"{number}.parquet", **options)
        yield (folder / f"{number}.parquet").read_bytes()


def damaged(whole, rng):
    """The file with one kind of damage."""
    content, length = bytearray(whole), int.from_bytes(whole[-8:-4], "little")
    footer = len(whole) - 8 - length
    place = rng.choice(("footer", "footer", "footer", "pages", "pages", "any", "length", "cut"))
    begin, end = {"footer": (footer, len(whole) - 8), "pages": (4, footer)}.get(place, (0, len(whole)))
    if place == "cut":
        return whole[: rng.randrange(len(whole))]
    if place == "length":
        content[-8:-4] = rng.randrange(rng.choice((2**32, len(whole)))).to_bytes(4, "little")
    elif rng.random() < 0.6:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            content[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)
    else:
        for at in range(start := rng.randrange(begin, end), min(end, start + rng.choice((1, 2, 4, 9, 200)))):
            content[at] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(content)


def read(path):
    """All of a file as both readers read it; whether it is whole to them."""
    source = ParquetInput(path, "x")
    for as_text, kept in ((meds_text, ("code", "text_value")), (omop_text, ())):
        with source.opened() as file:
            names = list(file.schema_arrow.names)
        with source.opened([name for name in kept if name in names]) as file:
            for batch in source.batches(file, names, 65_536):
                for column in batch.columns:
                    as_text(column)


def main(seed, count, folder):
    rng, files = random.Random(seed), list(whole_files(folder))
    refused = 0
    for number in range(count):
        path = folder / "damaged.parquet"
        path.write_bytes(damaged(rng.choice(files), rng))
        print(number, end=" ", flush=True)
        try:
            read(path)
        except IngestError as error:
            assert "\n" not in str(error)
            refused += 1
    print(f"\nrefused {refused}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
