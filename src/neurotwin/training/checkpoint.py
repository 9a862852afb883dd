"""Checkpoints without pickle: one safetensors file whose metadata holds everything that is not a tensor.

A file is written beside its place, synced, and renamed: it is the old one or the new one, never half of one, whatever
kills the process or the machine. It carries the hash of its own content, because safetensors itself would not notice a
flipped bit.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from neurotwin.disk import write_whole
from neurotwin.errors import IntegrityError, ResourceError

FORMAT = "neurotwin-checkpoint-2"


class SafetensorsCheckpoints(CheckpointIO):
    """Lightning's checkpoints as safetensors."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; raises ResourceError when the disk does not take it (an older file stays whole).

        ``storage_options`` may name ``previous``, see `write_checkpoint`.
        """
        write_checkpoint(Path(path), checkpoint, **(storage_options or {}))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def write_checkpoint(path: Path, content: dict[str, Any], *, previous: Path | None = None) -> None:
    """Write nested plain data and tensors; a file that stands there already is kept as ``previous`` if that is named.

    Raises:
        TypeError: something is neither a tensor nor plain data.
        ResourceError: the disk does not take it; what was there stays whole.
    """
    tensors: dict[str, torch.Tensor] = {}
    document = json.dumps(_encode(content, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": FORMAT, "document": document, "sha256": _digest(document, tensors)}
    try:
        write_whole(path, save(tensors, metadata), keep=previous)
    except OSError as error:
        raise ResourceError(
            "the checkpoint could not be written",
            where=str(path),
            expected="room on the disk and permission",
            remedy=f"the earlier checkpoint is whole ({error.strerror})",
        ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Back from `write_checkpoint`. Raises IntegrityError when the file is not a whole checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise IntegrityError("not a checkpoint of this program", where=str(path), expected=FORMAT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
        if _digest(metadata["document"], tensors) != metadata["sha256"]:
            raise IntegrityError(
                "the checkpoint does not match its hash", where=str(path), remedy="resume from an older one"
            )
        content = _decode(json.loads(metadata["document"]), tensors)
    except FileNotFoundError:
        raise IntegrityError("no such checkpoint", where=str(path)) from None
    except (SafetensorError, ValueError, KeyError, OSError):
        raise IntegrityError(
            "the checkpoint is truncated or damaged", where=str(path), remedy="resume from an older one"
        ) from None
    return dict(content)


def _digest(document: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _encode(item: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(item, torch.Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = item.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(item, dict):
        return {"map": [[_encode(key, tensors), _encode(value, tensors)] for key, value in item.items()]}
    if isinstance(item, list):
        return {"list": [_encode(value, tensors) for value in item]}
    if isinstance(item, tuple):
        return {"tuple": [_encode(value, tensors) for value in item]}
    if item is None or isinstance(item, bool | int | float | str):
        return item
    if isinstance(item, Path):
        return str(item)
    raise TypeError(f"a checkpoint holds a {type(item).__name__}; only tensors and plain data can be written")


def _decode(item: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(item, dict):
        return item
    kind, content = next(iter(item.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "map":
        return {_decode(key, tensors): _decode(value, tensors) for key, value in content}
    values = [_decode(value, tensors) for value in content]
    return tuple(values) if kind == "tuple" else values
