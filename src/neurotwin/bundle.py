"""The bundle: a folder that holds a trained twin, and the only thing that training and runtime share.

    manifest.json      what it is, versions, and the sha256 of every other file
    signature.json     graph inputs and outputs, channels with units and ranges, layout of the state
    assimilate.onnx    state, covariates, rows of events -> state, support score
    forecast.onnx      state, rows of a plan -> mean, quantiles, joint draws, step error
    calibration.json   conformal factors
    golden.json        inputs and expected outputs
    training/          configuration, metrics and data card
    MODEL_CARD.md, LICENSE

Everything is hashed, and what was hashed is what is used: files are read once into memory.
"""

import hashlib
import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from neurotwin.errors import BundleError, IntegrityError

SCHEMA_VERSION = 1
MANIFEST, SIGNATURE, CALIBRATION, GOLDEN = "manifest.json", "signature.json", "calibration.json", "golden.json"
ASSIMILATE, FORECAST = "assimilate.onnx", "forecast.onnx"
REQUIRED = (SIGNATURE, ASSIMILATE, FORECAST, CALIBRATION, GOLDEN, "MODEL_CARD.md", "LICENSE")
LARGEST_FILE, LARGEST_BUNDLE = 64 * 2**20, 256 * 2**20

OPERATORS = frozenset("""
    Abs Add And Cast CastLike Clip Concat Constant ConstantOfShape Cos CumSum Div Einsum Equal Erf Exp Expand Flatten Gather
    GatherElements GatherND Gemm Greater GreaterOrEqual Identity IsNaN Less LessOrEqual Log MatMul Max Mean Min Mod Mul Neg Not
    Or Pad Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Scan
    Shape Sigmoid Sign Sin Slice Softplus Split Sqrt Squeeze Sub Sum Swish Tanh Tile Transpose Unsqueeze Where Xor
""".split())
"""Operators that a bundle's graphs may hold. Scan is bounded by its input; Loop, If and custom domains are refused."""


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, every byte of it checked against the manifest.

    Attributes:
        manifest, signature, calibration, golden: parsed documents.
        graphs: bytes of the two ONNX files by name.
        sha256: hash of the manifest, which names all other hashes.
        path: where it was read.
    """

    manifest: Mapping[str, Any]
    signature: Mapping[str, Any]
    calibration: Mapping[str, Any]
    golden: Mapping[str, Any]
    graphs: Mapping[str, bytes]
    sha256: str
    path: Path

    @property
    def name(self) -> str:
        """Name of the twin."""
        return str(self.manifest["name"])

    @property
    def version(self) -> str:
        """Semantic version."""
        return str(self.manifest["version"])

    @classmethod
    def load(cls, path: str | Path) -> "Bundle":
        """Read and check a bundle.

        Raises:
            BundleError: a folder, file or field that should be there is not, or a file that should not be there is.
            IntegrityError: a file does not match its recorded hash.
        """
        path = Path(path)
        raw = _read_file(path, MANIFEST)
        manifest = _parse(raw, MANIFEST)
        recorded = _check_manifest(manifest)
        _check_folder(path, set(recorded) | {MANIFEST})
        content = {name: _verified(path, name, entry) for name, entry in recorded.items()}
        documents = {name: _parse(content[name], name) for name in (SIGNATURE, CALIBRATION, GOLDEN)}
        graphs = {name: content[name] for name in (ASSIMILATE, FORECAST)}
        digest = hashlib.sha256(raw).hexdigest()
        return cls(manifest, documents[SIGNATURE], documents[CALIBRATION], documents[GOLDEN], graphs, digest, path)


def manifest_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Entries of the manifest for all files of a folder that is being written."""
    names = sorted(item.relative_to(folder).as_posix() for item in folder.rglob("*") if item.is_file())
    return {name: _entry((folder / name).read_bytes()) for name in names if name != MANIFEST}


def strict_json(text: str | bytes) -> Any:
    """Parse JSON without its loopholes: no NaN, no infinity, no key twice. Raises ValueError."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError("a number is too large")
        return value

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            raise ValueError("a key stands twice")
        return content

    try:
        return json.loads(text, parse_constant=refuse, parse_float=number, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _read_file(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        status = path.lstat()
    except OSError:
        kind = "bundle" if name == MANIFEST else "file"
        raise BundleError(f"no such {kind}", where=str(path), expected="a folder made by `neurotwin export`") from None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise BundleError("not a plain file", where=str(path), expected="no links, devices or pipes")
    if status.st_size > LARGEST_FILE:
        raise BundleError(f"{status.st_size} bytes", where=str(path), expected=f"at most {LARGEST_FILE}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read ({type(error).__name__})", where=str(path)) from None


def _verified(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    content = _read_file(folder, name)
    if _entry(content) != {"sha256": entry["sha256"], "bytes": entry["bytes"]}:
        raise IntegrityError("the file does not match its recorded hash", where=str(folder / name),
                             expected="the file as it was released", remedy="fetch the bundle again")  # fmt: skip
    return content


def _parse(raw: bytes, name: str) -> Mapping[str, Any]:
    try:
        content = strict_json(raw.decode("utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise IntegrityError("not readable as JSON", where=name, remedy="fetch the bundle again") from None
    if not isinstance(content, dict):
        raise BundleError("not a JSON object", where=name)
    return content


def _check_manifest(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    missing = [key for key in ("schema_version", "name", "version", "files", "opset", "ir_version", "operators") if key not in manifest]
    if missing:
        raise BundleError(f"no {', '.join(missing)}", where=MANIFEST)
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise BundleError(f"schema_version {manifest['schema_version']!r}", where=MANIFEST, expected=str(SCHEMA_VERSION), remedy="install a newer neurotwin")
    files = manifest["files"]
    if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
        raise BundleError("an entry of files is malformed", where=MANIFEST, expected="relative names with sha256 and bytes")
    if absent := sorted(set(REQUIRED) - set(files)):
        raise BundleError(f"no {', '.join(absent)}", where=f"{MANIFEST}: files")
    if sum(entry["bytes"] for entry in files.values()) > LARGEST_BUNDLE:
        raise BundleError("the bundle is too large", where=MANIFEST, expected=f"at most {LARGEST_BUNDLE} bytes")
    operators = manifest["operators"]
    if not isinstance(operators, list) or (foreign := sorted(set(map(str, operators)) - OPERATORS)):
        raise BundleError(f"operators {', '.join(foreign) if isinstance(operators, list) else '?'}", where=MANIFEST, expected="operators of the allow-list")
    return dict(files)


def _is_entry(name: Any, entry: Any) -> bool:
    pure = PurePosixPath(name)
    return (
        not pure.is_absolute() and ".." not in pure.parts and "\\" not in name and name == pure.as_posix() and name != MANIFEST
        and isinstance(entry, dict) and isinstance(entry.get("bytes"), int)
        and re.fullmatch(r"[0-9a-f]{64}", str(entry.get("sha256"))) is not None
    )  # fmt: skip


def _check_folder(path: Path, expected: set[str]) -> None:
    found = {item.relative_to(path).as_posix() for item in path.rglob("*") if not item.is_dir() or item.is_symlink()}
    if extra := sorted(found - expected):
        raise BundleError(f"{len(extra)} files that the manifest does not name, such as {extra[0]!r}", where=str(path), remedy="remove them")
