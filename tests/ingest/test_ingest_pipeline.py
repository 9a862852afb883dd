"""The common road: any reader that keeps the contract, any number of buckets, killed runs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ingest_cases import GOOD_LONG, LONG, LONG_HEADER, VISITS, VISITS_HEADER

from neurotwin.cohort import Cohort
from neurotwin.errors import IngestError, ResourceError
from neurotwin.ingest import buckets
from neurotwin.ingest.accounting import CODES, MERGED, OUT_OF_SCOPE, Reason
from neurotwin.ingest.batches import columns_of, text_batch
from neurotwin.ingest.csv import ingest_csv
from neurotwin.ingest.mapping_file import parse_mapping
from neurotwin.ingest.pipeline import ingest


class ListTable:
    """A text table from rows in memory; each row is (line, fault, cells by name)."""

    volume, size, sha256, columns_ignored = 1, 1, "0" * 64, 0

    def __init__(self, shown, table, rows, columns):
        self.shown, self.table, self._rows, self._columns = shown, table, rows, columns

    def batches(self):
        for row in self._rows:  # one row a batch: no result may depend on where batches end
            columns = {name: [row[2].get(name)] for name in self._columns}
            yield text_batch([row[0]], columns, [row[1]])

    def position(self, column):
        return 0


class ListReader:
    kind = "list"

    def __init__(self, rows):
        self._rows = rows

    def shown(self, source):
        return "a list"

    def tables(self, source, mapping, scratch, advance):
        assert list(scratch.iterdir()) == [] and scratch.stat().st_dev
        (scratch / "note").write_text("anything")
        return [ListTable("rows", 0, self._rows, columns_of(mapping.tables[0]))]


def test_a_reader_needs_nothing_but_the_contract(tmp_path):
    good = {"id": " 007 ", "day": "0", "test": "GLU", "value": "90", "unit": "mg/dL", "note": "canary"}
    rows = [
        (1, 0, good),
        (1, 0, good | {"test": "CREA", "value": "1"}),  # two rows of one line, as components of one record
        (2, CODES[Reason.ROW_UNREADABLE], {}),
        (3, OUT_OF_SCOPE, good),
        (4, MERGED, good),
        (5, 0, good | {"value": None}),
        (6, 0, good | {"day": "1", "unit": "."}),
    ]
    report = ingest(ListReader(rows), "anything", LONG, tmp_path / "cohort", progress=False)
    account = report.files[0]
    assert (account.read, account.accepted, account.merged, account.out_of_scope) == (7, 2, 1, 1)
    assert dict(account.rejected) == {"row_unreadable": 1, "value_missing": 1, "unit_missing": 1}
    assert account.places[Reason.VALUE_MISSING] == [(5, 0)] and report.balanced
    cohort = Cohort.load(tmp_path / "cohort", verify=True)
    assert cohort.ids.tolist() == ["007"] and cohort.provenance["kind"] == "ingest list"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cohort"]


def test_columns_asked_are_those_that_the_mapping_names():
    assert columns_of(parse_mapping(LONG).tables[0]) == ["id", "day", "test", "value", "unit"]
    table = VISITS["tables"][0] | {"drop": {"kind": ["x"]}, "post_dose": {"when": ["post"]}}
    named = columns_of(parse_mapping(VISITS | {"tables": [table]}).tables[0])
    assert sorted(named) == sorted("id day glu prot rate until arm shot age sex kind when".split())


def many(lines=400):
    rng = np.random.default_rng(7)
    codes, values = rng.choice(["GLU", "CREA", "X"], lines), rng.choice(["1", "90", "9e", "<20"], lines)
    rows = zip(rng.integers(40, size=lines), rng.integers(-1, 5, size=lines), codes, values, strict=True)
    return [f"s{a},{b},{c},{d},mg/dL\n" for a, b, c, d in rows] + ["lone,3,GLU,oops,mg/dL\n"]


def contents(cohort):
    seen = cohort.observations
    return sorted(
        zip(cohort.ids[seen.subject].tolist(), seen.time, seen.variable, seen.value, seen.censor, strict=True)
    )


def plain(report):
    content = report.as_dict()
    return {name: content[name] for name in content if name not in ("cohort_sha256", "files", "source")} | {
        "files": [{k: v for k, v in one.items() if k not in ("path", "sha256")} for one in content["files"]]
    }


@pytest.mark.parametrize("count", [2, 16])
def test_buckets_change_nothing_but_the_order_of_subjects(ingest, long, monkeypatch, count):
    long["replicates"] = ["creatinine"]
    rows = many()
    whole = ingest(LONG_HEADER + "".join(rows), long)
    wanted = plain(ingest.report)
    monkeypatch.setattr("neurotwin.ingest.pipeline.buckets_for", lambda _: count)
    parted = ingest(LONG_HEADER + "".join(rows), long)
    assert contents(parted) == contents(whole) and plain(ingest.report) == wanted
    assert dict(zip(parted.ids, parted.fold, strict=True)) == dict(zip(whole.ids, whole.fold, strict=True))
    assert len(list((ingest.output / "shards").iterdir())) > 1
    first = ingest.report.sha256
    ingest(LONG_HEADER + "".join(reversed(rows)), long)
    assert ingest.report.sha256 == first


def test_shards_hold_no_more_subjects_than_they_may(ingest, long, monkeypatch):
    monkeypatch.setattr("neurotwin.ingest.build.SHARD", 15)
    cohort = ingest(LONG_HEADER + "".join(many()), long)
    assert 30 < len(cohort) <= 45 and len(list((ingest.output / "shards").iterdir())) == 3
    assert cohort.ids.tolist() == sorted(cohort.ids)


def test_the_number_of_buckets_follows_the_volume():
    long, visits = (parse_mapping(one).tables[0] for one in (LONG, VISITS))
    assert [buckets.buckets_for([(size, long)]) for size in (0, buckets.VOLUME, buckets.VOLUME + 1)] == [1, 1, 2]
    assert buckets.buckets_for([(buckets.VOLUME, long), (1, long)]) == 2
    assert buckets.buckets_for([(buckets.VOLUME, visits)]) == 8 and buckets.buckets_for([(1 << 60, long)]) == 128


def test_ids_on_disk_can_be_read_by_the_owner_only_and_are_gone_at_the_end(tmp_path, long, monkeypatch):
    seen = {}

    def look(self, number, real=buckets.Buckets.take):
        folder = self._folder.parent
        seen[oct(folder.stat().st_mode & 0o777)] = sorted(one.name for one in self._folder.iterdir())
        return real(self, number)

    monkeypatch.setattr(buckets.Buckets, "take", look)
    (tmp_path / "d.csv").write_text(LONG_HEADER + GOOD_LONG)
    ingest_csv(tmp_path / "d.csv", long, tmp_path / "cohort", progress=False)
    assert seen == {"0o700": ["subjects-000.arrow", "values-000.arrow"]}
    assert sorted(one.name for one in (tmp_path / "cohort").iterdir()) == [
        "cohort.json",
        "ingest_report.html",
        "ingest_report.json",
        "shards",
    ]


def test_a_full_disk_while_events_are_written_leaves_nothing(tmp_path, long, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(buckets.Buckets, "write", fail)
    (tmp_path / "d.csv").write_text(LONG_HEADER + GOOD_LONG)
    with pytest.raises(ResourceError, match="disk is full"):
        ingest_csv(tmp_path / "d.csv", long, tmp_path / "cohort", progress=False)
    assert [one.name for one in tmp_path.iterdir()] == ["d.csv"]


KILLED = """
import importlib, os, sys
from pathlib import Path
from neurotwin.ingest.csv import ingest_csv
source, mapping, folder, *places = sys.argv[1:]
for place in places:
    if not os.fork():
        module, _, name = place.partition(":")
        *owner, name = name.split(".")
        found = importlib.import_module(f"neurotwin.ingest.{module}")
        found = getattr(found, owner[0]) if owner else found
        setattr(found, name, lambda *_, **__: os.kill(os.getpid(), 9))
        ingest_csv(Path(source), Path(mapping), Path(folder, place, "cohort"), progress=False)
        os._exit(0)
    print(os.wait()[1])
"""
PLACES = ("convert:Converter.add", "build:assemble", "build:write_manifest", "pipeline:publish")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A source, its mapping, and by place a folder in which an ingest was killed there; one interpreter forks them."""
    folder = tmp_path_factory.mktemp("killed")
    source, mapping = folder / "d.csv", folder / "m.yaml"
    source.write_text(VISITS_HEADER + "p,0,90,neg,2,3,A,0.5,61,F\nq,0,,71,,,P,,NA,M\n")
    mapping.write_text(json.dumps(VISITS))
    command = [sys.executable, "-c", KILLED, source, mapping, folder, *PLACES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9"] * len(PLACES)
    return source, mapping, folder


@pytest.mark.parametrize("place", PLACES)
def test_a_run_after_a_killed_one_gives_the_same_and_sweeps_up(tmp_path, killed, place):
    source, mapping, folder = killed
    wanted = ingest_csv(source, mapping, tmp_path / "other", progress=False).sha256
    here = folder / place
    assert not (here / "cohort").exists()
    assert len(list(here.glob(".cohort.*.partial"))) == 1
    alive = here / f".cohort.{os.getppid()}.partial"
    alive.mkdir()
    (here / ".cohort.notes.partial").mkdir()
    assert ingest_csv(source, mapping, here / "cohort", progress=False).sha256 == wanted
    assert {one.name for one in here.glob(".cohort.*")} == {alive.name, ".cohort.notes.partial"}


def test_a_cohort_that_appears_meanwhile_is_not_touched(tmp_path, long, monkeypatch):
    def appear(*_, **__):
        (tmp_path / "cohort").mkdir()
        (tmp_path / "cohort" / "cohort.json").write_text("someone else's")

    monkeypatch.setattr("neurotwin.ingest.build.IngestReport.write", appear)
    (tmp_path / "d.csv").write_text(LONG_HEADER + GOOD_LONG)
    with pytest.raises(IngestError, match="there already"):
        ingest_csv(tmp_path / "d.csv", long, tmp_path / "cohort", progress=False)
    assert (tmp_path / "cohort" / "cohort.json").read_text() == "someone else's"


@pytest.mark.full
def test_memory_does_not_grow_with_the_rows(tmp_path):
    code = (
        "import re, sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from ingest_cases import LONG; from neurotwin.ingest.csv import ingest_csv\n"
        "ingest_csv(Path(sys.argv[1]), LONG, Path(sys.argv[2]), progress=False)\n"
        # Not ru_maxrss: a new process inherits the peak of the one that started it.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for size in (1, 4):
        source = tmp_path / f"{size}.csv"
        with source.open("w") as file:
            file.write(LONG_HEADER)
            for subject in range(2_500 * size):
                file.writelines(f"p{subject:06d},{t / 8},GLU,{90 + t % 7}.{t % 10},mg/dL\n" for t in range(400))
        begin = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-c", code, source, tmp_path / f"cohort{size}", Path(__file__).parent],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(out.stdout) / 1024)
        assert time.perf_counter() - begin < 300
    assert peaks[1] < 1024 and peaks[1] < 1.6 * peaks[0], peaks
