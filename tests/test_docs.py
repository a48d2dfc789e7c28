"""The pages say what is so: snippets run or are parsed, settings and links are real."""

from __future__ import annotations

import ast
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

import glasses_sdk
from glasses_sdk import errors, wire
from glasses_sdk.cli import app
from glasses_sdk.config import Config, load_config
from glasses_sdk.gaze.replay import read_recording
from glasses_sdk.gaze_map import load_gaze_map
from glasses_sdk.types import Size

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
ADDRESS = "tcp://127.0.0.1:5570"
SECONDS = 30.0  # of patience; nothing here is measured

# What else a page may ask its reader to type.
OTHER_COMMANDS = {".", "apt", "export", "git", "mkdocs", "npm", "pyright", "pytest", "ruff", "sudo"}


class Snippet(NamedTuple):
    page: str
    line: int
    language: str
    title: str
    runs: bool
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


_FENCE = re.compile(
    r'^(?P<runs><!-- runs -->\n)?```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?\n'
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def snippets(path: Path) -> list[Snippet]:
    text = path.read_text()
    return [
        Snippet(
            str(path.relative_to(ROOT)),
            text.count("\n", 0, found.start()) + 1,
            found["language"] or "text",
            found["title"] or "",
            bool(found["runs"]),
            found["text"],
        )
        for found in _FENCE.finditer(text)
    ]


SNIPPETS = [snippet for path in TEXTS for snippet in snippets(path)]


def of(language: str) -> Any:
    chosen = [snippet for snippet in SNIPPETS if snippet.language == language]
    return pytest.mark.parametrize("snippet", chosen, ids=map(str, chosen))


def test_every_fence_is_one_of_the_known_languages():
    fences = sum(path.read_text().count("\n```") for path in TEXTS)
    assert fences == 2 * len(SNIPPETS)
    assert {snippet.language for snippet in SNIPPETS} <= {
        *("python", "sh", "toml", "csv", "js", "text", "json")
    }


# Python


@of("python")
def test_a_python_snippet_is_python_and_imports_what_is_there(snippet: Snippet):
    for node in ast.walk(ast.parse(snippet.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("glasses_sdk"):
            program = f"from {node.module} import {', '.join(one.name for one in node.names)}"
            exec(program, {})


@pytest.mark.parametrize(
    "snippet",
    [snippet for snippet in SNIPPETS if snippet.title.startswith("examples/")],
    ids=lambda snippet: f"{snippet}-{snippet.title}",
)
def test_an_example_on_a_page_is_the_file(snippet: Snippet):
    assert snippet.text == (ROOT / snippet.title).read_text()


@pytest.fixture(scope="module")
def stream() -> Iterator[str]:
    """The address of a `glasses run` in the made world."""
    folder = Path(tempfile.mkdtemp(prefix="glasses-"))
    address = f"ipc://{folder}/s"
    command = [sys.executable, "-P", "-m", "glasses_sdk", "run", "--sensor", "synthetic:1"]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen([*command, "--bind", address], stderr=said)
    try:
        end = time.monotonic() + SECONDS
        while "masks on" not in (folder / "said").read_text():
            assert process.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


RUNNING = [snippet for snippet in SNIPPETS if snippet.runs]


@pytest.mark.parametrize("snippet", RUNNING, ids=map(str, RUNNING))
def test_a_snippet_that_runs_does(snippet: Snippet, stream: str):
    """Until it ends, or has printed five lines."""
    program = snippet.text.replace(ADDRESS, stream) if ":*" not in snippet.text else snippet.text
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [line for line, _ in zip(process.stdout, range(5), strict=False)]
        if len(lines) < 5:
            assert process.wait(SECONDS) == 0, process.stderr.read()
            assert lines or "print" not in program
    finally:
        process.kill()
        process.communicate()


def test_some_snippets_run():
    assert len(RUNNING) >= 6


# Shell


def command_lines(snippet: Snippet) -> list[str]:
    joined = re.sub(r"(\\|(?<=&&))\n", " ", snippet.text)
    lines = [line for whole in joined.splitlines() for line in whole.split("&&")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def check_glasses(words: list[str]) -> None:
    """Parses the words as the command line does, and runs nothing. Raises what it would show."""
    command: Any = typer.main.get_command(app)
    name = "glasses"
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    command.make_context(name, words)


def check(line: str) -> None:
    name, *rest = shlex.split(line, comments=True)
    match [name.removeprefix(".venv/bin/"), *rest]:
        case ["glasses", *rest]:
            check_glasses(rest)
        case ["torchrun", *rest]:
            check_glasses(rest[rest.index("glasses_sdk") + 1 :])
        case ["python" | "node" | "sh", file, *_]:
            assert (ROOT / file).is_file(), file
        case ["python3", "-m", "venv", _]:
            pass
        case ["pip", "install", *rest]:
            check_pip(rest)
        case ["export", setting] if setting.startswith("GLASSES_"):
            name, _, value = setting.partition("=")
            load_config(environment={name: value})
        case [name, *_]:
            assert name in OTHER_COMMANDS, f"{name} is not known here"


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if found := re.search(r"\[(.*)\]$", word):
            assert set(found[1].split(",")) <= project["optional-dependencies"].keys(), word
        if word.endswith(".txt"):
            assert (ROOT / word).is_file(), word


@of("sh")
def test_a_command_on_a_page_is_one(snippet: Snippet):
    for line in command_lines(snippet):
        check(line)


@pytest.mark.parametrize(
    "line",
    [
        "glasses walk",
        "glasses run --sensr webcam:0",
        "glasses run --frames many",
        "glasses evaluate --json",
        "glasses models show",
        "python examples/nothing.py",
        "pip install '.[nothing]'",
        "rm -rf docs",
    ],
)
def test_a_wrong_command_is_seen(line: str):
    with pytest.raises(Exception):  # noqa: B017 - each in its own words
        check(line)


def commands() -> dict[str, Any]:
    """`glasses run` and so on, to click's own record of it."""
    found: dict[str, Any] = {}

    def visit(name: str, command: Any) -> None:
        if hasattr(command, "commands"):
            for child, inner in command.commands.items():
                visit(f"{name} {child}", inner)
        else:
            found[name] = command

    visit("glasses", typer.main.get_command(app))
    return found


def test_each_command_and_flag_is_on_its_page_and_no_other():
    page = (ROOT / "docs/reference/command-line.md").read_text()
    sections = dict(re.findall(r"^## (glasses .*?)$(.*?)(?=^## |\Z)", page, re.M | re.S))
    told: dict[str, set[str]] = {
        name: set(re.findall(r"^\| `(--[\w-]+)`", text, re.M)) for name, text in sections.items()
    }
    real: dict[str, set[str]] = {}
    for name, command in commands().items():
        section = " ".join(name.split()[:2])
        if section.removeprefix("glasses ") in ("models", "config"):
            assert f"`{name.split()[2]}`" in sections[section], name
        flags = {one for parameter in command.params for one in parameter.opts}
        long = {flag for flag in flags if flag.startswith("--")} - {"--help"}
        real[section] = real.get(section, set()) | long
    assert told == real


# Settings and files


def test_each_setting_is_on_its_page_with_its_default():
    page = (ROOT / "docs/reference/configuration.md").read_text()
    told = {
        (section, key): default
        for section, text in re.findall(r"^## \[(\w+)\]$(.*?)(?=^## |\Z)", page, re.M | re.S)
        for key, default in re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M)
    }
    real = {
        (section.name, key.name): getattr(getattr(Config(), section.name), key.name)
        for section in dataclasses.fields(Config)
        for key in dataclasses.fields(getattr(Config(), section.name))
    }
    assert told.keys() == real.keys()
    for place, default in real.items():
        assert _value(told[place]) == default, place


def _value(cell: str) -> object:
    if cell == "none":
        return None
    value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    return tuple(value) if isinstance(value, list) else value


@of("toml")
def test_a_toml_snippet_is_read_by_its_reader(snippet: Snippet, tmp_path: Path):
    path = tmp_path / "file.toml"
    path.write_text(snippet.text)
    match snippet.title:
        case "glasses.toml":
            load_config(path, {})
        case "gaze map":
            load_gaze_map(path, Size(640, 480))
        case "recipe":
            recipe = pytest.importorskip("glasses_sdk.training.recipe", reason="extra: train")
            recipe.load_recipe(path)
        case title:
            raise AssertionError(f"a toml snippet is called {title!r}: what reads it?")


@of("csv")
def test_a_recording_on_a_page_is_read(snippet: Snippet, tmp_path: Path):
    path = tmp_path / "gaze.csv"
    path.write_text(snippet.text)
    assert read_recording(path)


# The protocol


def protocol_keys(heading: str) -> list[str]:
    page = (ROOT / "docs/reference/protocol.md").read_text()
    after = page.split(f"\n{heading}", 1)[1]
    table = re.search(r"^\| key .*?(?=\n\n)", after, re.M | re.S)
    return re.findall(r"^\| `(\w+)`", table[0], re.M)


@pytest.mark.parametrize("kind", ["mask", "status", "calibration", "gaze"])
def test_the_keys_of_a_message_are_those_of_the_golden_one(kind: str):
    import msgpack

    golden = sorted((ROOT / "tests/vectors").glob(f"{kind}-*.msgpack"))
    assert golden
    for path in golden:
        assert list(msgpack.unpackb(path.read_bytes())) == protocol_keys(f"### {kind}"), path.name


def test_the_keys_of_inputs_are_those_that_are_written():
    import msgpack

    gaze = wire.encode_gaze_input("eye", glasses_sdk.Gaze(0, 0.5, 0.5))
    head = wire.encode_head_input("head", glasses_sdk.HeadPose(0, (0.0, 0.0, 0.0, 1.0)))
    for (topic, payload), kind in ((gaze, "gaze"), (head, "head")):
        assert topic.startswith(f"g1.in.{kind}.".encode())
        assert sorted(msgpack.unpackb(payload)) == sorted(protocol_keys(f"`g1.in.{kind}.<name>`"))


# Names


def test_the_page_of_names_has_each_public_name():
    page = (ROOT / "docs/reference/python.md").read_text()
    told = set(re.findall(r"`(\w+)`", page))
    assert set(glasses_sdk.__all__) <= told


def test_the_page_of_errors_has_the_tree():
    page = (ROOT / "docs/reference/errors.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)?", page, re.M))
    classes = [getattr(errors, name) for name in errors.__all__]
    assert told == {
        one.__name__: "" if one is errors.GlassesError else one.__base__.__name__ for one in classes
    }


def test_each_test_that_a_page_names_is_there():
    named = [
        (path.name, file, test)
        for path in TEXTS
        for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", path.read_text())
    ]
    assert named
    for page, file, test in named:
        assert (ROOT / file).is_file(), f"{page}: {file}"
        assert not test or f"def {test}(" in (ROOT / file).read_text(), f"{page}: {test}"


def test_each_room_of_the_picture_is_in_the_house_and_none_is_left_out():
    page = (ROOT / "docs/explanation/design.md").read_text()
    table = page.split("## Rooms", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w./]+)`", row)}
    package = Path(glasses_sdk.__file__).parent
    real = {
        path.name
        for path in package.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.name != "__init__.py"
    }
    assert told == real


# Links


def anchors(path: Path) -> set[str]:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", prose, re.M)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_somewhere(path: Path):
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path):
    pytest.importorskip("material", reason="pages are built with the extra: docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_quiet())
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]*\ssrc=\"([^\"]+)|<link[^>]*\shref=\"([^\"]+)",
            page.read_text(),
        )
        assert [one for pair in loaded for one in pair if "//" in one] == [], page.name


def _quiet() -> dict[str, str]:
    return os.environ | {"NO_MKDOCS_2_WARNING": "1"}
