"""What the pages promise exists: commands, configurations, links, extras, error codes; and their code runs."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

from neurotwin import compose, errors
from neurotwin.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE_LATER: tuple[str, ...] = ()  # pictures of what is still to be made
TEXT = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
COMMAND = typer.main.get_command(app)
PLACEHOLDERS = re.compile(r"KEY=|GROUP=|NAME|DIR\b|searchpath|lrr")
"""Commands that stand for many, that need a folder of the reader's, or that show an error."""


def fences(language):
    """(page, info string, code) of the fenced blocks of a language."""
    pattern = re.compile(rf"^```{language}\b([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page, info.strip(), code) for page, text in TEXT.items() for info, code in pattern.findall(text)]


def commands():
    """(page, words after ``neurotwin``) of every command in a code block or between backticks."""
    found = []
    for page, text in TEXT.items():
        joined = re.sub(r"\\\n\s*", "", text)
        spans = re.findall(r"^ {4}(?:\$ )?(?:\w+=\S+ )*neurotwin (.+)$", joined, re.MULTILINE)
        for fenced in re.findall(r"^```(?:sh|bash)?\n(.*?)^```", joined, re.MULTILINE | re.DOTALL):
            spans += re.findall(r"^(?:\$ )?neurotwin (.+)$", fenced, re.MULTILINE)
        spans += re.findall(r"`neurotwin ([^`\n]+)`", joined)
        found += [(page, span.split(" #")[0].strip()) for span in spans]
    return [(page, shlex.split(span)) for page, span in dict.fromkeys(found)]


def named(item):
    """A short name of a test's argument."""
    return (item if isinstance(item, str) else " ".join(item)).split("\n")[0][:60]


def verb_of(words):
    """The command that the words name, and the words left over; None for ``VERB`` and options."""
    node, rest = COMMAND, list(words)
    while rest and hasattr(node, "commands"):
        if rest[0].startswith("-") or rest[0] == "VERB":
            return None, rest
        if (default := getattr(node, "default_command", "")) and rest[0] not in node.commands:
            rest.insert(0, default)
        assert rest[0] in node.commands, f"no verb {rest[0]!r}"
        node = node.commands[rest.pop(0)]
    return node, rest


def options_of(node):
    """Names of a verb's options, long and short."""
    return {option for item in node.params for option in item.opts if option.startswith("-")} - {"--help"}


def verbs(node=COMMAND, name=""):
    """(name, command) of every verb."""
    for key, item in node.commands.items():
        yield from verbs(item, f"{name}{key} ") if hasattr(item, "commands") else [(f"{name}{key}", item)]


@pytest.mark.parametrize(("page", "info", "code"), fences("python"), ids=named)
def test_python_runs(page, info, code, monkeypatch):
    compiled = compile(code, page, "exec")
    if "runnable" not in info:
        return
    needs = re.search(r"needs=(\S+)", info)
    for path in needs.group(1).split(",") if needs else []:
        if not (ROOT / path).exists():
            pytest.skip(f"{page}: {path} is not here; compiled only")
    monkeypatch.chdir(ROOT)
    exec(compiled, {"__name__": f"docs_{Path(page).stem}"})


@pytest.mark.parametrize(("page", "words"), commands(), ids=named)
def test_commands_exist(page, words):
    node, rest = verb_of(words)
    if node is None or hasattr(node, "commands") or node.name in ("train", "simulate"):
        return
    given = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)} - {"--help"}
    assert given <= options_of(node), f"{page}: {node.name} has no {given - options_of(node)}"


@pytest.mark.parametrize(
    ("page", "words"), [item for item in commands() if item[1][0] in ("train", "simulate")], ids=named
)
def test_overrides_compose(page, words):
    verb, *rest = words
    if PLACEHOLDERS.search(" ".join(words)):
        return
    overrides = [word for word in rest if "=" in word and "..." not in word and "${hydra" not in word]
    if "-m" in rest:  # the first trial of a sweep
        overrides = [re.sub(r"=([^\[{',]*),.*$", r"=\1", word) for word in overrides]
    if verb == "train" and not any(word.startswith(("experiment=", "data.cohort=")) for word in overrides):
        overrides.append("data.cohort=somewhere")
    compose.compose(verb, overrides)


def test_every_verb_and_option_is_on_its_page():
    page = TEXT["docs/cli.md"]
    for name, node in verbs():
        section = re.search(rf"^#+ {name}$(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        assert section, f"docs/cli.md has no section {name!r}"
        missing = {option for option in options_of(node) if f"`{option}`" not in section.group(1)}
        assert not missing, f"docs/cli.md: {name} lacks {missing}"


@pytest.mark.parametrize("page", TEXT)
def test_links_resolve(page):
    links = re.findall(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)", TEXT[page])
    here = (ROOT / page).parent
    for path, anchor in links:
        target = (here / path).resolve() if path else ROOT / page
        if anchor and target.is_file():
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            slugs = {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{page}: no heading {anchor} in {target.name}"
    missing = [path for path, _ in links if path and not (here / path).exists()]
    late = [path for path in missing if str((here / path).resolve().relative_to(ROOT)) in MADE_LATER]
    assert missing == late, f"{page}: {missing}"
    if late:
        pytest.skip(f"not made yet: {', '.join(late)}")


def test_conf_files_and_extras_exist():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for page, text in TEXT.items():
        for path in re.findall(r"(?<![\w/])conf/[\w/]+\.yaml", text):
            assert (ROOT / path).exists(), f"{page}: no {path}"
        for names in re.findall(r"(?:neurotwin|'\.)\[([a-z,]+)\]", text):
            assert set(names.split(",")) <= extras, f"{page}: extras {names}"
        for names in re.findall(r"\b[Ee]xtras? ((?:`\w+`(?:, | and )?)+)", text):
            assert set(re.findall(r"`(\w+)`", names)) <= extras, f"{page}: {names}"


def test_every_choice_is_in_configuration():
    listed = {}
    for section in re.split(r"^### ", TEXT["docs/configuration.md"], flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `(\w+)` \|", section.split("\n## ")[0], re.MULTILINE)
        listed[section.split("\n")[0]] = set(rows)
    folders = [path for path in (ROOT / "conf").iterdir() if path.is_dir()]
    assert listed == {path.name: {choice.stem for choice in path.glob("*.yaml")} for path in folders}


def test_keys_are_explained():
    for key in re.findall(r"^(\w+):", (ROOT / "conf/simulate.yaml").read_text(), re.MULTILINE):
        assert key in ("name", "defaults") or f"| `{key}` |" in TEXT["docs/simulate.md"], key
    lines = TEXT["docs/configuration.md"].splitlines()
    for path in (*(ROOT / "conf/model").glob("*.yaml"), *(ROOT / "conf/data").glob("*.yaml")):
        row = next(line for line in lines if line.startswith(f"| `{path.stem}` |"))
        for key in re.findall(r"^([a-z]\w*):", path.read_text(), re.MULTILINE):
            assert f"{key}`" in row, f"{path.stem}: {key}"


def test_every_error_has_its_row():
    classes = [item for item in vars(errors).values() if isinstance(item, type)]
    kinds = [item for item in classes if issubclass(item, errors.NeurotwinError)]
    for kind in kinds:
        row = rf"^\| {kind.code} \| {kind.exit_code} \| `{kind.__name__}` \|"
        assert re.search(row, TEXT["docs/errors.md"], re.MULTILINE), kind.__name__
    known = {kind.code for kind in kinds} | set(re.findall(r"NT-\d{4}", (ROOT / "src/neurotwin/cli.py").read_text()))
    assert set(re.findall(r"^\| (NT-\d{4})", TEXT["docs/errors.md"], re.MULTILINE)) == known
