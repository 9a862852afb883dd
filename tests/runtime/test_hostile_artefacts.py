"""Bundles made to harm: each is refused or answers, and nothing happens that Python's audit hooks can see."""

import json
import pickle
import shutil
import subprocess
import sys

import pytest

WATCH = """
import sys, json
from pathlib import Path
from neurotwin.errors import NeurotwinError
from neurotwin.runtime import Predictor
import onnxruntime, importlib, encodings.idna, difflib, neurotwin.runtime.deadline
ROOT = sys.argv[1]
Predictor.load(sys.argv[2])          # what loading imports is imported
done, on = [], False
QUIET = {"open", "os.listdir", "os.scandir", "object.__getattr__", "compile", "exec", "import", "marshal.loads",
         "sys._getframe", "code.__new__", "glob.glob", "pathlib.Path.glob", "pathlib.Path.rglob", "object.__setattr__",
         "os.fwalk", "gc.get_objects", "cpython.PyInterpreterState_New", "builtins.id", "array.__new__",
         "time.sleep", "ctypes.dlsym", "_thread.start_new_thread"}
def hook(event, given):
    if not on:
        return
    if event == "open" and isinstance(given[0], (str, bytes)):
        path = given[0] if isinstance(given[0], str) else given[0].decode()
        flags = given[2] or 0
        if flags & 3 or not (path.startswith(ROOT) or path.endswith((".py", ".pyc"))):
            done.append(f"open {path}")
    elif event == "exec":
        pass
    elif event not in QUIET:
        done.append(event)
sys.addaudithook(hook)
told = {}
for folder in sorted(Path(ROOT).iterdir()):
    on = True
    try:
        Predictor.load(folder)
        outcome = "answers"
    except NeurotwinError as error:
        outcome = type(error).__name__
    finally:
        on = False
    told[folder.name] = [outcome, done[:]]
    done.clear()
print(json.dumps(told))
"""


class Harm:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


def pickles(mark):
    return {f"pickle_{protocol}": pickle.dumps(Harm(mark), protocol) for protocol in range(6)}


TARGETS = [
    {"_target_": "os.system", "_args_": ["true"]},
    {"_target_": "builtins.eval", "_args_": ["1"]},
    {"_partial_": True, "_target_": "subprocess.run"},
    {"__reduce__": ["os.system", "true"]},
    "!!python/object/apply:os.system ['true']",
    "${oc.env:HOME}",
]
FILES = ("assimilate.onnx", "forecast.onnx", "signature.json", "calibration.json", "golden.json")
NAMES = ("../outside", "/etc/passwd", "a/../../b", "C:\\\\x", "con\x00", "~/.bashrc", "training//x", "./x")
NUMBERS = (1e308, -1, 10**30, True, "9" * 10_000, [], {"$ref": "#"})


def cases(make, rehash, mark):
    """Sixty and more bundles, all of whose hashes are right."""
    for name, content in pickles(mark).items():
        for file in FILES:
            folder = make(f"{name}_{file}")
            (folder / file).write_bytes(content)
            rehash(folder)
    for number, target in enumerate(TARGETS):
        for file in ("signature.json", "calibration.json", "golden.json"):
            folder = make(f"target_{number}_{file}")
            content = json.loads((folder / file).read_text())
            key = sorted(content)[0]
            (folder / file).write_text(json.dumps({**content, key: target, "_target_": "os.system"}))
            rehash(folder)
    for number, name in enumerate(NAMES):
        folder = make(f"name_{number}")
        told = json.loads((folder / "manifest.json").read_text())["files"]
        rehash(folder, files={**told, name: next(iter(told.values()))})
    for number, value in enumerate(NUMBERS):
        folder = make(f"number_{number}")
        content = json.loads((folder / "signature.json").read_text())
        content["max_step"] = value
        (folder / "signature.json").write_text(json.dumps(content))
        rehash(folder)
    for number, shape in enumerate(([2**40], [2**20, 2**20], [2**62, 2**62])):
        folder = make(f"bomb_{number}")
        (folder / "forecast.onnx").write_bytes(bomb(shape))
        rehash(folder)


def bomb(shape):
    """A graph that fills a tensor of this shape."""
    from onnx import TensorProto, helper

    size = helper.make_tensor("size", TensorProto.INT64, [len(shape)], shape)
    node = helper.make_node("ConstantOfShape", ["size"], ["mean"])
    told = helper.make_tensor_value_info("dt", TensorProto.FLOAT, ["batch", "row"])
    out = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [None] * len(shape))
    graph = helper.make_graph([node], "g", [told], [out], [size])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


@pytest.mark.fault
def test_nothing_happens(node_bundle, tmp_path, rehash, tally):
    root, mark = tmp_path / "hostile", tmp_path / "was-here"
    root.mkdir()
    cases(lambda name: shutil.copytree(node_bundle, root / name), rehash, mark)
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(root), str(node_bundle)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert len(told) >= 60
    assert {name: seen for name, (_, seen) in told.items() if seen} == {}
    answered = {name for name, (outcome, _) in told.items() if outcome == "answers" and not name.startswith("target")}
    assert answered <= {"number_0", "number_2"}, answered  # words without a meaning; one step as long as you like
    assert not mark.exists()
    tally("a hostile bundle", tried=len(told))


def test_a_mark_would_be_left_and_seen(tmp_path):
    """What is looked for above happens where such a file is unpickled."""
    file, mark = tmp_path / "harm.pickle", tmp_path / "was-here"
    file.write_bytes(pickles(mark)["pickle_4"])
    code = (
        "import sys, pickle\nseen = []\nsys.addaudithook(lambda event, given: seen.append(event))\n"
        "pickle.loads(open(sys.argv[1], 'rb').read())\nsys.exit('pickle.find_class' not in seen)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)], timeout=60).returncode == 0
    assert mark.exists()
