"""Bundles: nothing but what was released is ever loaded."""

import json
import os

import numpy as np
import pytest

from neurotwin.bundle import MANIFEST, OPERATORS, Bundle, strict_json
from neurotwin.errors import ArtefactError, BundleError, InputError


@pytest.fixture
def folder(node_bundle, copy_of):
    return copy_of(node_bundle)


def edit(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rename(old, new):
    return lambda manifest: manifest["files"].update({new: manifest["files"].pop(old)})


def test_a_bundle_knows_itself(node_bundle):
    bundle = Bundle.load(node_bundle)
    assert (bundle.name, bundle.version) == ("toy_node", "0.1.0") and len(bundle.sha256) == 64
    assert set(bundle.graphs) == {"assimilate.onnx", "forecast.onnx"}


def test_one_changed_byte_in_any_file_is_refused(folder):
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        content = path.read_bytes()
        for spoiled in (content[:-2], content + b"x", b"", bytes([content[0] ^ 1]) + content[1:]):
            path.write_bytes(spoiled)
            with pytest.raises(ArtefactError):
                Bundle.load(folder)
        path.write_bytes(content)
    Bundle.load(folder)


def spoil(folder, rng, change):
    """Change a random file of a bundle, each as likely as it is large; it must be refused, and is mended."""
    paths = sorted(item for item in folder.rglob("*") if item.is_file())
    sizes = np.array([path.stat().st_size for path in paths], dtype=float)
    path = paths[rng.choice(len(paths), p=sizes / sizes.sum())]
    content = path.read_bytes()
    path.write_bytes(change(content, int(rng.integers(len(content)))))
    with pytest.raises(ArtefactError):
        Bundle.load(folder)
    path.write_bytes(content)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.full)])
@pytest.mark.fault
def test_random_bit_flips_are_all_refused(folder, count, tally):
    rng = np.random.default_rng(count)
    for _ in range(count):
        bit = 1 << int(rng.integers(8))
        spoil(folder, rng, lambda content, at, bit=bit: content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
    Bundle.load(folder)
    tally("a bit flipped in a bundle", tried=count)


@pytest.mark.parametrize("count", [50, pytest.param(1_000, marks=pytest.mark.full)])
@pytest.mark.fault
def test_files_cut_short_are_all_refused(folder, count, tally):
    rng = np.random.default_rng(count)
    for _ in range(count):
        spoil(folder, rng, lambda content, at: content[:at])
    Bundle.load(folder)
    tally("a bundle's file cut short", tried=count)


def test_each_bit_of_the_manifest_counts(folder):
    raw = (folder / MANIFEST).read_bytes()
    for at in range(0, len(raw), 3):
        (folder / MANIFEST).write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :])
        with pytest.raises(ArtefactError):
            Bundle.load(folder)
    (folder / MANIFEST).write_bytes(raw)
    Bundle.load(folder)


def test_a_manifest_without_its_seal(folder):
    edit(folder, lambda manifest: manifest.pop("seal"))
    with pytest.raises(BundleError, match="no seal"):
        Bundle.load(folder)


def test_extra_and_missing_files_are_refused(folder):
    (folder / "training" / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match="does not name"):
        Bundle.load(folder)
    (folder / "training" / "extra.txt").unlink()
    (folder / "LICENSE").unlink()
    with pytest.raises(BundleError, match="no such file"):
        Bundle.load(folder)


def test_no_bundle_there(tmp_path):
    for path in (tmp_path / "nothing", __file__):
        with pytest.raises(InputError, match="no such bundle"):
            Bundle.load(path)
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "pipe", "folder"])
def test_only_plain_files_are_read(folder, tmp_path, kind):
    path = folder / "LICENSE"
    moved = tmp_path / "elsewhere"
    path.rename(moved)
    make = {
        "symbolic link": lambda: path.symlink_to(moved),
        "hard link": lambda: path.hardlink_to(moved),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    make[kind]()
    with pytest.raises(BundleError, match="plain file"):
        Bundle.load(folder)


def test_a_linked_folder_is_refused(folder, tmp_path):
    (folder / "training").rename(tmp_path / "elsewhere")
    (folder / "training").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="does not name"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "name",
    ["../LICENSE", "/etc/passwd", "a/../../b", "./LICENSE", "a//b", "", ".", "a\0b", "C:\\x", "\ud800", "x" * 300],
)
def test_names_that_lead_astray_are_refused(folder, name):
    edit(folder, rename("LICENSE", name))
    with pytest.raises(BundleError, match="malformed"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": True}, "schema_version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"operators": ["Add", "Loop"]}, "Loop"),
        ({"operators": ["Add", "com.evil::Add"]}, "evil"),
        ({"operators": "Add"}, "not a list"),
        ({"name": "../x"}, "malformed name"),
        ({"name": 7}, "malformed name"),
        ({"version": "1"}, "malformed version"),
        ({"files": []}, "malformed"),
        ({"files": {}}, "no LICENSE"),
        ({"files": {"LICENSE": {"sha256": "0" * 64, "bytes": 10**30}}}, "no MODEL_CARD"),
    ],
)
def test_manifests_that_say_the_wrong_thing(folder, changes, match):
    edit(folder, lambda manifest: manifest.update(changes))
    with pytest.raises(BundleError, match=match):
        Bundle.load(folder)


def test_huge_sizes_are_refused_before_anything_is_read(folder):
    edit(folder, lambda manifest: manifest["files"]["LICENSE"].update(bytes=10**12))
    with pytest.raises(BundleError, match="too large"):
        Bundle.load(folder)
    edit(folder, lambda manifest: manifest["files"]["LICENSE"].update(bytes=-1))
    with pytest.raises(BundleError, match="malformed"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "text", ["NaN", "[1]", '{"a": Infinity}', '{"a": 1e999}', '{"a": 1, "a": 2}', "{", "", "[" * 100_000, '{"a": NaN}']
)
def test_a_manifest_that_is_no_strict_json(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ArtefactError):
        Bundle.load(folder)
    (folder / MANIFEST).write_bytes(text.encode("utf-16"))
    with pytest.raises(ArtefactError):
        Bundle.load(folder)


def test_strict_json_takes_text_and_utf8_only():
    assert strict_json(b'{"a": [1, 2.5]}') == {"a": [1, 2.5]} == strict_json('{"a": [1, 2.5]}')
    with pytest.raises(ValueError):
        strict_json('{"a": 1}'.encode("utf-16"))


def test_no_control_flow_is_on_the_list():
    assert not OPERATORS & {"Loop", "If", "Optional", "SequenceMap", "PyOp"}
