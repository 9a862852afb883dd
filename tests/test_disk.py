"""Files are there whole or not at all, and what the system refuses becomes one line."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neurotwin.disk import (
    DRAFT,
    FULL,
    disk_errors,
    draft_path,
    held,
    remove_drafts,
    sync_folder,
    whole_folder,
    write_whole,
)
from neurotwin.errors import CohortError, ConfigError, OutputInUseError, ResourceError


def names(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.fixture
def no_room(monkeypatch):
    """From the call that ``after`` names on, nothing reaches the disk."""
    real = os.fsync

    def begin(after=0):
        left = [after]

        def fsync(descriptor):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return begin


@pytest.mark.parametrize("number", sorted(FULL))
def test_a_full_disk(number):
    with (
        pytest.raises(ResourceError, match="the disk is full; at here.*whole shards"),
        disk_errors("here", CohortError, kept="whole shards"),
    ):
        raise OSError(number, "words of the system")


def test_anything_else():
    with pytest.raises(CohortError, match="permission denied; at here"), disk_errors("here", CohortError):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_other_errors_pass():
    with pytest.raises(ValueError, match="mine"), disk_errors("here", CohortError):
        raise ValueError("mine")


@pytest.mark.parametrize("content", ["å\n", b"\xff\x00", memoryview(b"rows")], ids=["text", "bytes", "buffer"])
def test_a_file_is_what_was_written(tmp_path, content):
    path = tmp_path / "a"
    for _ in range(2):
        write_whole(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else bytes(content))
    assert names(tmp_path) == ["a"]


def test_a_disk_without_room_leaves_the_earlier_file(tmp_path, no_room):
    write_whole(tmp_path / "a", "old")
    no_room()
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


def test_an_interrupt_leaves_no_draft(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a", "new")
    assert names(tmp_path) == []


def test_the_bytes_reach_the_disk_before_the_name_and_the_name_last(tmp_path, monkeypatch):
    seen, real = [], os.fsync

    def fsync(descriptor):
        seen.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), names(tmp_path)))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "a", "new")
    (draft, first), (folder, last) = seen
    assert DRAFT.fullmatch(Path(draft).name) and first == [Path(draft).name]
    assert folder == str(tmp_path) and last == ["a"]


def test_what_had_the_place_is_kept_where_it_is_asked(tmp_path):
    for text in ("1", "2", "3"):
        write_whole(tmp_path / "last", text, keep=tmp_path / "previous")
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {"last": "3", "previous": "2"}


def test_a_file_that_only_its_owner_reads_stays_so(tmp_path):
    (tmp_path / "a").touch(mode=0o600)
    write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "a")
    for text in ("first", "second"):
        write_whole(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "a").read_text() == text
    assert names(tmp_path) == ["link", "there"] and names(tmp_path / "there") == ["a"]


def test_a_pipe_takes_the_bytes_and_stays_a_pipe(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_whole(path, "report")
    reader.join(10)
    assert read == [b"report"] and path.is_fifo() and names(tmp_path) == ["pipe"]


@pytest.mark.parametrize(("place", "told"), [("", IsADirectoryError), ("file/a", NotADirectoryError)])
def test_where_no_file_can_be(tmp_path, place, told):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(told):
        write_whole(tmp_path / place, "new")
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a", "new")
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_the_longest_name_can_be_written(tmp_path):
    write_whole(tmp_path / ("x" * 255), "new")
    write_whole(tmp_path / ("å" * 127), "new")
    assert len(names(tmp_path)) == 2


def test_many_writers_leave_one_of_their_files(tmp_path):
    path, texts = tmp_path / "a", [str(number) * 100_000 for number in range(8)]
    writers = [threading.Thread(target=write_whole, args=(path, text)) for text in texts for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in texts and names(tmp_path) == ["a"]


WRITER = """
import itertools, sys
from pathlib import Path
from neurotwin.disk import write_whole
for number in itertools.count():
    write_whole(Path(sys.argv[1]), f"{number} " * 100_000)
    print(number, flush=True)
"""


def test_a_kill_leaves_a_whole_file(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = [process.stdout.readline() for _ in range(5)]
        finally:
            process.kill()
        rest = process.stdout.read().split("\n")[:-1]
    last = int([*told, *rest][-1])
    words = (tmp_path / "a").read_text().split()
    assert len(words) == 100_000 and len(set(words)) == 1 and int(words[0]) in (last, last + 1)
    remove_drafts(tmp_path)
    assert names(tmp_path) == ["a"]


def test_a_folder_is_there_when_all_of_it_is(tmp_path, monkeypatch):
    synced, real = [], os.fsync

    def fsync(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    target = tmp_path / "new" / "one@0.1.0"
    with whole_folder(target) as draft:
        (draft / "below").mkdir()
        (draft / "below" / "a").write_text("x")
        assert not target.exists() and DRAFT.fullmatch(draft.name) and draft.parent == target.parent
    assert (target / "below" / "a").read_text() == "x" and names(target.parent) == ["one@0.1.0"]
    assert synced[-1] == str(target.parent)
    assert set(synced[:-1]) == {str(draft), str(draft / "below"), str(draft / "below" / "a")}


def test_a_folder_that_was_not_finished_is_gone(tmp_path, no_room):
    with pytest.raises(ValueError, match="mine"), whole_folder(tmp_path / "a") as draft:
        (draft / "x").write_text("x")
        raise ValueError("mine")
    assert names(tmp_path) == []
    no_room(after=1)
    with pytest.raises(OSError, match="No space"), whole_folder(tmp_path / "a") as draft:
        (draft / "x").write_text("x")
    assert names(tmp_path) == []


def test_a_folder_replaces_an_empty_one_and_no_other(tmp_path):
    for item in ("empty", "full"):
        (tmp_path / item).mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with whole_folder(tmp_path / "empty") as draft:
        (draft / "x").write_text("x")
    with pytest.raises(OSError), whole_folder(tmp_path / "full"):  # noqa: PT011 - its number is the system's choice
        pass
    assert names(tmp_path) == ["empty", "full"] and names(tmp_path / "full") == ["mine"]


def test_drafts_and_nothing_else_are_removed(tmp_path):
    kept = [".lock", "a.draft", "notes", ".hidden"]
    for name in kept:
        (tmp_path / name).touch()
    draft_path(tmp_path / "a").write_text("half")
    (draft_path(tmp_path / "b") / "below").mkdir(parents=True)
    assert remove_drafts(tmp_path, tmp_path / "none") == 2
    assert names(tmp_path) == sorted(kept) and remove_drafts(tmp_path) == 0


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_cannot_sync_folders_will_do(tmp_path, monkeypatch, number):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    if number == errno.EINVAL:
        sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)


def test_a_folder_is_held_by_one(tmp_path):
    with held(tmp_path / "new", "another run writes", remedy="wait"):
        told = pytest.raises(OutputInUseError, match="another run writes.*wait")
        with told, held(tmp_path / "new", "another run writes", remedy="wait"):
            pass
    with held(tmp_path / "new", "another run writes", remedy="wait"):
        pass


def test_a_folder_that_cannot_be_held_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="at the output folder .*file"), held(place, "busy", remedy="wait"):
            pass
