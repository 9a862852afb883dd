"""Checkpoints: plain data and tensors, there and back, and no damaged one is taken for whole."""

import json
import random

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from neurotwin.errors import IntegrityError, ResourceError
from neurotwin.training import SafetensorsCheckpoints, read_checkpoint, write_checkpoint

CONTENT = {
    "state_dict": {
        "a": torch.arange(6.0).reshape(2, 3),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(3),
        "half": torch.ones(2, dtype=torch.bfloat16),
    },
    "optimizer_states": [
        {"state": {0: {"step": torch.tensor(2.0)}, 1: {}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0, 1]}]}
    ],
    "flags": {True: "yes", None: 1.5, "inf": float("inf"), "list": [1, [2, ()]]},
}


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            type(other) is dict
            and list(one) == list(other)
            and all(equal(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list | tuple):
        return (
            type(one) is type(other)
            and len(one) == len(other)
            and all(equal(a, b) for a, b in zip(one, other, strict=True))
        )
    return type(one) is type(other) and one == other


@pytest.fixture
def path(tmp_path):
    write_checkpoint(tmp_path / "one.safetensors", CONTENT)
    return tmp_path / "one.safetensors"


def test_there_and_back(path):
    assert equal(read_checkpoint(path), CONTENT)
    assert not equal(read_checkpoint(path), {**CONTENT, "flags": {}})
    assert [item.name for item in path.parent.iterdir()] == ["one.safetensors"]


def test_an_optimizer_goes_on_as_if_nothing_had_happened(tmp_path):
    def begun():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(layer, optimizer):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()

    layer, optimizer = begun()
    step(layer, optimizer)
    write_checkpoint(tmp_path / "a", {"model": layer.state_dict(), "optimizer": optimizer.state_dict()})
    content = read_checkpoint(tmp_path / "a")
    assert set(content["optimizer"]["state"]) == {0, 1}
    other, resumed = begun()
    other.load_state_dict(content["model"])
    resumed.load_state_dict(content["optimizer"])
    step(layer, optimizer)
    step(other, resumed)
    assert torch.equal(layer.weight, other.weight) and torch.equal(layer.bias, other.bias)


def test_the_file_is_safetensors_and_holds_no_pickle(path):
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert set(header["__metadata__"]) == {"format", "document", "sha256"}
    assert raw[:2] not in (b"\x80\x02", b"\x80\x04", b"\x80\x05", b"PK")
    with safe_open(path, framework="pt") as file:
        assert len(list(file.keys())) == 5


@pytest.mark.parametrize(
    "thing", [object(), {1, 2}, len, torch.nn.Linear(1, 1), b"bytes"], ids=lambda thing: type(thing).__name__
)
def test_anything_that_would_need_pickle_is_refused(tmp_path, thing):
    with pytest.raises(TypeError, match="only tensors and plain data"):
        write_checkpoint(tmp_path / "a", {"hyper_parameters": thing})
    assert not list(tmp_path.iterdir())


@pytest.mark.fault
def test_every_truncation_is_refused(path, tally):
    raw = path.read_bytes()
    for length in sorted({0, 1, 7, 8, 9, len(raw) // 2, len(raw) - 1, *random.Random(0).sample(range(len(raw)), 30)}):
        path.write_bytes(raw[:length])
        with pytest.raises(IntegrityError):
            read_checkpoint(path)
    tally("a checkpoint cut short", tried=37)


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.full)])
@pytest.mark.fault
def test_every_flipped_bit_is_refused(path, count, tally):
    raw = path.read_bytes()
    rng = random.Random(count)
    for position in rng.sample(range(len(raw) * 8), min(count, len(raw) * 8)):
        spoilt = bytearray(raw)
        spoilt[position // 8] ^= 1 << position % 8
        path.write_bytes(spoilt)
        with pytest.raises(IntegrityError):
            read_checkpoint(path)
    path.write_bytes(raw)
    assert equal(read_checkpoint(path), CONTENT)
    tally("a bit flipped in a checkpoint", tried=count)


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>not found</html>", b"\x80\x04\x95\x1c\x00\x00\x00", b"PK\x03\x04" + b"\0" * 60, b"\xff" * 64],
    ids=["empty", "html", "pickle", "zip", "ones"],
)
def test_other_files_are_refused(tmp_path, raw):
    (tmp_path / "a").write_bytes(raw)
    with pytest.raises(IntegrityError):
        read_checkpoint(tmp_path / "a")


def test_a_missing_file_a_folder_and_foreign_safetensors_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="no such"):
        read_checkpoint(tmp_path / "nothing")
    with pytest.raises(IntegrityError):
        read_checkpoint(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "a", metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match="not a checkpoint of this program"):
        read_checkpoint(tmp_path / "a")
    save_file({"a": torch.zeros(1)}, tmp_path / "b")
    with pytest.raises(IntegrityError, match="not a checkpoint of this program"):
        read_checkpoint(tmp_path / "b")


def test_a_failed_write_leaves_the_old_checkpoint_whole(path, monkeypatch):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurotwin.disk.os.fsync", full)
    with pytest.raises(ResourceError, match="could not be written"):
        write_checkpoint(path, {"new": torch.ones(3)})
    assert equal(read_checkpoint(path), CONTENT)
    assert [item.name for item in path.parent.iterdir()] == ["one.safetensors"]


def test_lightning_s_door(tmp_path):
    door = SafetensorsCheckpoints()
    door.save_checkpoint(CONTENT, tmp_path / "sub" / "a.safetensors")
    assert equal(door.load_checkpoint(tmp_path / "sub" / "a.safetensors"), CONTENT)
    door.remove_checkpoint(tmp_path / "sub" / "a.safetensors")
    door.remove_checkpoint(tmp_path / "sub" / "a.safetensors")
    assert not list((tmp_path / "sub").iterdir())
