"""The registry: who is the champion, the way back, and that nothing in it can be changed unseen."""

import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from neurotwin.bundle import Bundle
from neurotwin.errors import ArtefactError, ConfigError, IntegrityError, OutputInUseError, ResourceError
from neurotwin.registry import Registry
from neurotwin.registry.history import Aliases, Held
from neurotwin.runtime import Predictor

NAME = "toy_gru"


@pytest.fixture
def settled(version_of, verdict_of, tmp_path):
    """A registry whose champion 0.1.0 was replaced by 0.2.0, with 0.3.0 refused; and the three folders."""
    keep = Registry(tmp_path / "registry")
    one, two, three = (version_of(version) for version in ("0.1.0", "0.2.0", "0.3.0"))
    keep.settle(Bundle.load(one), verdict_of(one))
    keep.settle(Bundle.load(two), verdict_of(two, champion=one))
    keep.settle(Bundle.load(three), verdict_of(three, held=False, champion=two))
    return keep, (one, two, three)


def versions(keep):
    found = keep.aliases(NAME)
    return tuple(one and one.version for one in (found.champion, found.previous, found.candidate))


def test_who_is_who(settled):
    keep, (_, two, _) = settled
    assert versions(keep) == ("0.2.0", "0.1.0", "0.3.0")
    path = keep.path(NAME)
    assert path.name == "toy_gru@0.2.0" and Predictor.load(path).bundle.sha256 == Bundle.load(two).sha256
    assert keep.path(NAME, "candidate").name == "toy_gru@0.3.0"
    assert [line.action for line in keep.history().lines] == ["promote", "promote", "refuse"]
    assert keep.verify() == 3
    assert all(item.stat().st_mode & 0o222 == 0 for item in path.rglob("*") if item.is_file())


def test_rollback_goes_back_once(settled):
    keep, _ = settled
    assert keep.rollback(NAME).version == "0.1.0"
    assert versions(keep) == ("0.1.0", None, "0.3.0")
    with pytest.raises(ConfigError, match="no previous champion"):
        keep.rollback(NAME)
    with pytest.raises(ConfigError, match="no previous champion"):
        keep.rollback("nobody")


def test_a_candidate_that_was_promoted_waits_no_longer(settled, verdict_of):
    keep, (_, two, three) = settled
    keep.settle(Bundle.load(three), verdict_of(three, champion=two))
    assert versions(keep) == ("0.3.0", "0.2.0", None)


def test_aliases_follow_from_decisions():
    a, b = Held("1", "a", ""), Held("2", "b", "")
    found = Aliases().after("refuse", a).after("promote", b).after("promote", a)
    assert found == Aliases(champion=a, previous=b) and found.after("rollback", b) == Aliases(champion=b)


def test_a_version_has_one_content(settled, version_of, verdict_of, rehash):
    keep, (_, two, _) = settled
    other = version_of("0.2.1")
    rehash(other, version="0.1.0", contact="someone else")
    with pytest.raises(ConfigError, match="other content"):
        keep.settle(Bundle.load(other), verdict_of(other, champion=two))
    with pytest.raises(ConfigError, match="champion already"):
        keep.settle(Bundle.load(two), verdict_of(two, champion=two))
    with pytest.raises(ConfigError, match="another bundle's"):
        keep.settle(Bundle.load(two), verdict_of(other, champion=two))
    assert keep.verify() == 3


def test_of_two_promotions_at_once_one_wins(settled, version_of, verdict_of):
    keep, (_, two, _) = settled
    folders = [version_of("0.4.0"), version_of("0.5.0")]
    jobs = [(Bundle.load(folder), verdict_of(folder, champion=two)) for folder in folders]

    def settle(job):
        try:
            return Registry(keep.folder).settle(*job)
        except OutputInUseError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        told = sorted(pool.map(settle, jobs), key=len)
    assert told[0] == "promote" and "changed while this was judged" in told[1]
    assert versions(keep)[:2] in (("0.4.0", "0.2.0"), ("0.5.0", "0.2.0")) and keep.verify() in (4, 5)


@pytest.mark.fault
def test_a_disk_that_fills_up_at_any_step_leaves_a_whole_registry(settled, version_of, verdict_of, monkeypatch, tally):
    keep, (_, two, _) = settled
    folder = version_of("0.4.0")
    bundle, verdict, real = Bundle.load(folder), verdict_of(folder, champion=two), os.fsync
    tried, stood = 0, False
    while not stood:
        left = [tried]

        def full(descriptor, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        try:
            keep.settle(bundle, verdict)
            stood = True
        except ResourceError:
            tried += 1
        except (ConfigError, OutputInUseError):  # the line was in the history already: it stands
            stood = True
        monkeypatch.setattr(os, "fsync", real)
        assert versions(keep)[0] in ("0.2.0", "0.4.0") and keep.verify() in (3, 4)
    tally("disk full while a champion is replaced", tried=tried, lost=0)
    assert tried >= 10 and versions(keep)[:2] == ("0.4.0", "0.2.0")
    assert keep.rollback(NAME).version == "0.2.0"


def test_a_held_lock_is_told(settled, version_of, verdict_of, monkeypatch):
    from filelock import FileLock

    keep, (_, two, _) = settled
    monkeypatch.setattr("neurotwin.registry.registry.PATIENCE", 0.1)
    with FileLock(keep.folder / ".lock"), pytest.raises(OutputInUseError, match="another process"):
        keep.rollback(NAME)
    assert versions(keep)[0] == "0.2.0"


def spoilers():
    def bundle(keep, edited):
        path = keep.folder / "models/toy_gru/toy_gru@0.2.0/calibration.json"
        edited(path, "description", "better than it was")

    def resealed(keep, edited):
        """An edit with hashes and seal made to fit: only the registry knows."""
        from neurotwin.bundle import MANIFEST, manifest_files, sealed

        folder = keep.folder / "models/toy_gru/toy_gru@0.2.0"
        edited(folder / "calibration.json", "description", "better than it was")
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).chmod(0o644)
        (folder / MANIFEST).write_text(sealed({**manifest, "files": manifest_files(folder)}))

    def gone(keep, edited):
        shutil.rmtree(keep.folder / "models/toy_gru/toy_gru@0.2.0")

    def verdict(keep, edited):
        held = keep.aliases(NAME).champion
        edited(keep.folder / f"verdicts/{held.verdict}.json", "held", False)

    def verdict_gone(keep, edited):
        (keep.folder / f"verdicts/{keep.aliases(NAME).champion.verdict}.json").unlink()

    def alias(keep, edited):
        path = keep.folder / "aliases.json"
        models = json.loads(path.read_text())["models"]
        models[NAME]["champion"] = models[NAME]["candidate"]
        edited(path, "models", models)

    def alias_gone(keep, edited):
        (keep.folder / "aliases.json").unlink()

    def line(keep, edited):
        path = keep.folder / "history.jsonl"
        path.write_text(path.read_text().replace('"refuse"', '"promote"'))

    def line_out(keep, edited):
        path = keep.folder / "history.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    def first_line_out(keep, edited):
        path = keep.folder / "history.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))

    return [bundle, resealed, gone, verdict, verdict_gone, alias, alias_gone, line, line_out, first_line_out]


@pytest.mark.parametrize("spoil", spoilers(), ids=lambda spoil: spoil.__name__)
def test_what_was_changed_is_refused(settled, edited, spoil):
    keep, _ = settled
    spoil(keep, edited)
    for call in (keep.verify, lambda: keep.path(NAME)):
        with pytest.raises(ArtefactError) as told:
            call()
        assert "\n" not in str(told.value)


def test_a_damaged_previous_champion_is_not_rolled_back_to(settled, edited):
    keep, _ = settled
    edited(keep.folder / "models/toy_gru/toy_gru@0.1.0/golden.json", "cases", [])
    with pytest.raises(IntegrityError):
        keep.rollback(NAME)
    assert versions(keep)[0] == "0.2.0"


def test_every_byte_of_the_history_counts(settled):
    keep, _ = settled
    path = keep.folder / "history.jsonl"
    content = path.read_bytes()
    for place in range(0, len(content) - 1, 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(IntegrityError):
            keep.history()
    path.write_bytes(content + b'{"n":3,"cut short')  # by a crash: it was no decision
    assert len(keep.history().lines) == 3 and keep.rollback(NAME).version == "0.1.0"


def test_no_registry_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no registry here"):
        Registry(tmp_path / "none").history()
    (tmp_path / "empty").mkdir()
    assert Registry(tmp_path / "empty").aliases(NAME) == Aliases()
    with pytest.raises(ConfigError, match="no champion"):
        Registry(tmp_path / "empty").path(NAME)
