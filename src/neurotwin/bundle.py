"""The bundle: a folder that holds a trained twin, and the only thing that training and runtime share.

    manifest.json      what it is, versions, and the sha256 of every other file
    signature.json     graph inputs and outputs, channels with units and ranges, layout of the state
    assimilate.onnx    state, covariates, rows of events -> state, support score
    forecast.onnx      state, rows of a plan -> mean, quantiles, joint draws, step error, incidence of outcomes
    calibration.json   conformal factors
    golden.json        inputs and expected outputs
    training/          configuration, metrics and data card
    MODEL_CARD.md, LICENSE

Everything is hashed, and what was hashed is what is used: files are read once into memory.
"""

import errno
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurotwin.errors import BundleError, InputError, IntegrityError

SCHEMA_VERSION = 1
MANIFEST, SIGNATURE, CALIBRATION, GOLDEN = "manifest.json", "signature.json", "calibration.json", "golden.json"
ASSIMILATE, FORECAST = "assimilate.onnx", "forecast.onnx"
REQUIRED = (SIGNATURE, ASSIMILATE, FORECAST, CALIBRATION, GOLDEN, "MODEL_CARD.md", "LICENSE")
FIELDS = ("schema_version", "name", "version", "files", "opset", "ir_version", "operators", "seal")
UNSEALED = "0" * 64
LARGEST_FILE, LARGEST_BUNDLE, MOST_FILES = 64 * 2**20, 256 * 2**20, 1000
_NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"

_NAMES = """
    Abs Add And Atan Cast CastLike Clip Concat Constant ConstantOfShape Cos CumSum Div Einsum Equal Erf Exp Expand
    Flatten Floor Gather GatherElements GatherND Gemm Greater GreaterOrEqual Identity IsNaN Less LessOrEqual Log
    MatMul Max Mean Min Mod Mul Neg Not Or Pad Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Scan Shape Sigmoid Sign Sin Slice Softplus Split Sqrt
    Squeeze Sub Sum Swish Tanh Tile Transpose Unsqueeze Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
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
            InputError: there is no such folder.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError("no such bundle", where=str(path), expected="a folder made by `neurotwin export`")
        raw = _read_file(path, MANIFEST)
        manifest = _parse(raw, MANIFEST)
        recorded = _check_manifest(manifest)
        _check_seal(raw, manifest["seal"])
        _check_folder(path, set(recorded) | {MANIFEST})
        content = {name: _verified(path, name, entry) for name, entry in recorded.items()}
        documents = {name: _parse(content[name], name) for name in (SIGNATURE, CALIBRATION, GOLDEN)}
        graphs = {name: content[name] for name in (ASSIMILATE, FORECAST)}
        digest = hashlib.sha256(raw).hexdigest()
        return cls(manifest, documents[SIGNATURE], documents[CALIBRATION], documents[GOLDEN], graphs, digest, path)


def sealed(manifest: Mapping[str, Any]) -> str:
    """The text of manifest.json with its seal, by which a flipped bit is seen there too: all other hashes stand in it.

    It guards against damage, not against people: who can write the manifest can seal it. Compare the bundle's sha256,
    told elsewhere, for that.
    """
    told = {key: value for key, value in manifest.items() if key != "seal"}
    text = json.dumps({**told, "seal": UNSEALED}, indent=1) + "\n"
    return hashlib.sha256(text.encode()).hexdigest().join(text.rsplit(UNSEALED, 1))


def _check_seal(raw: bytes, seal: Any) -> None:
    """The seal is the sha256 of the file with zeros in its place."""
    own = str(seal).encode()
    if raw.count(own) != 1 or hashlib.sha256(raw.replace(own, UNSEALED.encode())).hexdigest() != seal:
        raise IntegrityError("the manifest does not match its seal", where=MANIFEST, remedy="fetch the bundle again")


def manifest_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Entries of the manifest for all files of a folder that is being written."""
    names = sorted(item.relative_to(folder).as_posix() for item in folder.rglob("*") if item.is_file())
    return {name: _entry((folder / name).read_bytes()) for name in names if name != MANIFEST}


def strict_json(text: str | bytes) -> Any:
    """Parse JSON without its loopholes: UTF-8, no NaN, no infinity, no key twice. Raises ValueError."""

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
        text = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(text, parse_constant=refuse, parse_float=number, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _read_file(folder: Path, name: str) -> bytes:
    """The content of a plain file, from one descriptor: what was checked is what is read."""
    path = folder / name
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOT_A_LINK)
    except (FileNotFoundError, NotADirectoryError):
        kind = "bundle" if name == MANIFEST else "file"
        remedy = "a folder made by `neurotwin export`"
        raise BundleError(f"no such {kind}", where=str(path), expected=remedy) from None
    except OSError as error:
        reason = "not a plain file" if error.errno in (errno.ELOOP, errno.EMLINK) else "cannot be read"
        raise BundleError(reason, where=str(path), expected="no links, devices or pipes") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise BundleError("not a plain file", where=str(path), expected="no links, devices or pipes")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > LARGEST_FILE:
            raise BundleError(f"{status.st_size} bytes", where=str(path), expected=f"at most {LARGEST_FILE}")
        try:
            return file.read(status.st_size + 1)
        except OSError as error:
            raise BundleError(f"cannot be read ({type(error).__name__})", where=str(path)) from None


def _verified(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    content = _read_file(folder, name)
    if _entry(content) != {"sha256": entry["sha256"], "bytes": entry["bytes"]}:
        raise IntegrityError(
            "the file does not match its recorded hash",
            where=str(folder / name),
            expected="the file as it was released",
            remedy="fetch the bundle again",
        )
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
    missing = [key for key in FIELDS if key not in manifest]
    if missing:
        raise BundleError(f"no {', '.join(missing)}", where=MANIFEST)
    if type(manifest["schema_version"]) is not int or manifest["schema_version"] != SCHEMA_VERSION:
        remedy = "install the neurotwin that wrote it, or a newer one"
        raise BundleError("another schema_version", where=MANIFEST, expected=str(SCHEMA_VERSION), remedy=remedy)
    for key, form in (("name", r"[a-z][a-z0-9_]{0,63}"), ("version", r"\d{1,6}\.\d{1,6}\.\d{1,6}")):
        if not isinstance(manifest[key], str) or not re.fullmatch(form, manifest[key]):
            raise BundleError(f"a malformed {key}", where=MANIFEST, expected="such as lung_tumour and 0.1.0")
    _check_operators(manifest["operators"])
    files = manifest["files"]
    if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
        expected = "relative names with sha256 and bytes"
        raise BundleError("an entry of files is malformed", where=MANIFEST, expected=expected)
    if absent := sorted(set(REQUIRED) - set(files)):
        raise BundleError(f"no {', '.join(absent)}", where=f"{MANIFEST}: files")
    if len(files) > MOST_FILES or sum(entry["bytes"] for entry in files.values()) > LARGEST_BUNDLE:
        expected = f"at most {LARGEST_BUNDLE} bytes in {MOST_FILES} files"
        raise BundleError("the bundle is too large", where=MANIFEST, expected=expected)
    return dict(files)


def _check_operators(operators: Any) -> None:
    if not isinstance(operators, list) or not all(isinstance(item, str) for item in operators):
        raise BundleError("operators is not a list of names", where=MANIFEST)
    if foreign := sorted(set(operators) - OPERATORS):
        shown = ", ".join(repr(item[:40]) for item in foreign[:5])
        raise BundleError(f"operators {shown}", where=MANIFEST, expected="operators of the allow-list")


def _is_entry(name: str, entry: Any) -> bool:
    return (
        re.fullmatch(rf"{_PART}(/{_PART})*", name) is not None
        and len(name) <= 200
        and name != MANIFEST
        and isinstance(entry, dict)
        and type(entry.get("bytes")) is int
        and entry["bytes"] >= 0
        and isinstance(entry.get("sha256"), str)
        and re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]) is not None
    )


def _check_folder(path: Path, expected: set[str]) -> None:
    for item in path.rglob("*"):
        if (item.is_symlink() or not item.is_dir()) and item.relative_to(path).as_posix() not in expected:
            raise BundleError("a file that the manifest does not name", where=str(item), remedy="remove it")
