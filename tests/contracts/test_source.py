"""House rules that a reader of the source may rely on, checked on the syntax trees."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "neurotwin"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in FILES}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60
"""Lines; of a function without its signature and docstring."""
LONGER_FILES: dict[str, int] = {}
"""File -> most lines, for those that have a reason to be longer."""
PRINTERS = ("cli.py", "train.py", "verbs/", "demo/", "compose.py", "__main__.py")
ORDER = ("t", "dt", "state", "control", "static")


def found(check):
    return [f"{name}:{node.lineno}" for name, tree in TREES.items() for node in ast.walk(tree) if check(name, node)]


def called(node):
    """Dotted name of what a call calls."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_no_assert_outside_the_tests():
    """`python -O` would remove it."""
    assert found(lambda name, node: isinstance(node, ast.Assert)) == []


def test_no_bare_except():
    assert found(lambda name, node: isinstance(node, ast.ExceptHandler) and node.type is None) == []


def test_no_pickle():
    def imports(name, node):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        return any(
            item.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal") for item in names
        )

    assert found(imports) == []
    assert found(lambda name, node: called(node).endswith(("read_pickle", "to_pickle"))) == []
    assert (
        found(
            lambda name, node: (
                isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) == "True"
            )
        )
        == []
    )


def test_torch_load_only_with_weights_only():
    def unsafe(name, node):
        return (
            called(node) in ("torch.load", "load")
            and not any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
            and called(node) == "torch.load"
        )

    assert found(unsafe) == []


@pytest.mark.parametrize(
    "name", ["eval", "exec", "__import__", "os.system", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"]
)
def test_nothing_is_run_from_text(name):
    assert found(lambda _, node: called(node) == name) == []


def test_yaml_is_read_by_safe_loaders_only():
    """`yaml.load` needs a loader, and those that build any Python object are refused."""

    def loader(node):
        given = [word.value for word in node.keywords if word.arg == "Loader"] or node.args[1:2]
        return ast.unparse(given[0]) if given else "Loader"

    loaders = {
        loader(node).rpartition(".")[2]
        for tree in TREES.values()
        for node in ast.walk(tree)
        if called(node) == "yaml.load"
    }
    assert not loaders & {
        "Loader",
        "CLoader",
        "FullLoader",
        "CFullLoader",
        "UnsafeLoader",
        "CUnsafeLoader",
        "BaseLoader",
    }


def test_only_the_command_line_prints():
    assert found(lambda name, node: called(node) == "print" and not name.startswith(PRINTERS)) == []


def test_files_are_short():
    long = {
        name: count
        for name, path in zip(TREES, FILES, strict=True)
        if (count := len(path.read_text().splitlines())) > LONGER_FILES.get(name, LONGEST_FILE)
    }
    assert long == {}


def test_functions_are_short():
    def too_long(name, node):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return False
        body = node.body[1:] if ast.get_docstring(node) else node.body
        return bool(body) and node.end_lineno - body[0].lineno >= LONGEST_FUNCTION

    assert found(too_long) == []


def test_every_module_and_public_function_says_what_it_is_for():
    modules = [name for name, tree in TREES.items() if tree.body and not ast.get_docstring(tree)]
    classes = found(
        lambda _, node: isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    )
    assert modules == [] and classes == []


def test_arguments_come_in_one_order():
    """t, dt, state, control, static: wherever two of them stand in a signature, they stand in this order."""

    def out_of_order(name, node):
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            return False
        given = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args) if argument.arg in ORDER]
        return given != sorted(given, key=ORDER.index)

    # The graphs of a bundle take their inputs in the order of the file format.
    assert [place for place in found(out_of_order) if not place.startswith("export/graphs.py")] == []


def test_the_checks_above_can_fail():
    tree = ast.parse("def f(state, t):\n    assert t\n    print(torch.load(t))\n")
    kinds = {type(node) for node in ast.walk(tree)}
    assert ast.Assert in kinds and {called(node) for node in ast.walk(tree)} >= {"print", "torch.load"}
