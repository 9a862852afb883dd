"""Parts are read without the rest, from as many row groups as there are; what is not whole or not sorted is refused."""

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from neurotwin.cohort import Cohort, read_manifest
from neurotwin.errors import CohortError
from neurotwin.events import EventTable
from neurotwin.score import Part, parts_of
from neurotwin.score.slices import KEPT, CohortReader


def rewrite(folder, change, rows=None):
    """Write all tables of a cohort anew, with hashes that fit."""
    path = folder / "cohort.json"
    manifest = json.loads(path.read_text())
    for shard in manifest["shards"]:
        for name in shard["files"]:
            file = folder / "shards" / shard["shard"] / name
            table = change(name, pq.read_table(file))
            pq.write_table(table, file, store_schema=False, **({} if rows is None else {"row_group_size": rows}))
            content = file.read_bytes()
            shard["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    path.write_text(json.dumps(manifest))


def same(one: EventTable, other: EventTable):
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "end")
               for name in one.__dataclass_fields__)  # fmt: skip


@pytest.mark.parametrize(("rows", "part_size"), [(None, 13), (40, 30), (100, 1000), (60, 50)])
def test_parts_are_the_cohort(spoiled_cohort, tmp_path, rows, part_size):
    spoiled_cohort.save(tmp_path, shard_size=50)
    rewrite(tmp_path, lambda name, table: table, rows)
    reader, first = CohortReader(tmp_path), 0
    for part in parts_of(tmp_path, part_size):
        found = reader.read(part)
        expected = spoiled_cohort.take(np.arange(first, first + len(part)))
        first += len(part)
        assert found.ids.tolist() == expected.ids.tolist()
        np.testing.assert_array_equal(found.statics, expected.statics)
        assert same(found.observations, expected.observations) and same(found.doses, expected.doses)
        assert all(len(table._kept) <= KEPT for table in reader._open[1].values())
    assert first == len(spoiled_cohort)


def test_tables_that_are_not_sorted_are_refused(spoiled_cohort, tmp_path):
    for number, rows in enumerate((None, 20)):
        folder = tmp_path / str(number)
        spoiled_cohort.save(folder)
        rewrite(folder, lambda name, t: t if name == "subjects" else t.take(np.arange(len(t))[::-1]), rows)
        with pytest.raises(CohortError, match="not sorted by subject"):
            CohortReader(folder).read(parts_of(folder, 50)[0])


def test_a_damaged_file_is_refused(spoiled_cohort, tmp_path):
    spoiled_cohort.save(tmp_path)
    path = tmp_path / "shards" / "00000" / "doses.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CohortError, match="does not match its hash"):
        CohortReader(tmp_path).read(Part(0, "00000", 0, 5))


def test_another_cohort_is_refused(spoiled_folder):
    with pytest.raises(CohortError, match="another cohort"):
        CohortReader(spoiled_folder, "0" * 64)
    assert CohortReader(spoiled_folder, read_manifest(spoiled_folder)["sha256"]).schema.name == "toy_tumour"


def test_subjects_without_any_event(toy_cohort, tmp_path):
    none = toy_cohort.observations.take(np.zeros(len(toy_cohort.observations), bool))
    given = toy_cohort.doses.take(np.zeros(len(toy_cohort.doses), bool))
    bare = Cohort.build(toy_cohort.schema, toy_cohort.ids.tolist(), toy_cohort.statics, none, given, split_key="bare")
    bare.save(tmp_path)
    found = CohortReader(tmp_path).read(parts_of(tmp_path, 30)[1])
    assert len(found) == 30 and not len(found.observations) and not len(found.doses)
