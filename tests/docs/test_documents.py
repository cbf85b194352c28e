"""What the documents say is true: their commands run, their answers are real ones, their tables are complete."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.http.problems import TABLE
from service.metrics import Metrics
from service.post.processor import plain
from service.post.spec import KNOWN
from service.settings import Settings
from tests.require import need
from tests.samples import ROOT
from tests.server import PATIENCE_S, Server

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)

# Blocks of `bash` install, build, train or stay in the foreground; each line of theirs is run elsewhere.
ELSEWHERE = {
    "git clone": "tests/container/test_fresh_clone.py",
    "scripts/install": "tests/container/test_fresh_clone.py",
    "scripts/serve": "tests/container/test_fresh_clone.py",
    "scripts/test": ".ci/run",
    "scripts/check": ".ci/run",
    "scripts/bench": "tests/system/test_bench.py",
    "scripts/peers": "tests/system/test_bench.py",
    ".venv/bin/python -m bench.": "tests/system/test_bench.py",
    "docker compose up": "tests/container/test_compose.py",
    ".venv/bin/kinema bench": "tests/system/test_loadtest.py",
    ".venv/bin/kinema watch": "tests/system/test_watch.py",
    ".venv/bin/kinema serve --model": "tests/system/test_import.py",
    ".venv/bin/kinema look": "tests/unit/test_folder_show.py",
    ".venv/bin/kinema train my_clips/": "tests/system/test_train.py",
    ".venv/bin/kinema evaluate my_model/": "tests/system/test_train.py",
    ".venv/bin/kinema train": "tests/model/test_run.py",
    ".venv/bin/kinema quantize": "tests/model/test_run.py",
    ".venv/bin/kinema strangers": "tests/model/test_run.py",
    ".venv/bin/kinema export": "tests/model/test_run.py",
    ".venv/bin/kinema evaluate": "tests/model/test_judging.py",
    ".venv/bin/kinema compare": "tests/model/test_run.py",
    ".venv/bin/kinema study": "tests/model/test_study.py",
    ".venv/bin/kinema explore": "tests/model/test_explore.py",
}


class Block(NamedTuple):
    """A fenced block of a document."""

    document: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.text.splitlines()[0][:60]}"


def blocks(*languages: str) -> Iterator[Block]:
    for document in DOCUMENTS:
        for language, text in _FENCE.findall(document.read_text()):
            if language in languages:
                yield Block(document, language, text)


COMMANDS = [
    (block.document, line.removeprefix("$ "))
    for block in blocks("console")
    for line in block.text.splitlines()
    if line.startswith("$ ")
]


def shell(command: str, server: Server) -> str:
    """Runs a command as a reader would, against a server of the tests."""
    need("curl", "curl" not in command or shutil.which("curl") is not None, "the documents' commands use it")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", command.replace("http://localhost:8000", server.url)],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("document", "command"), COMMANDS, ids=[f"{d.name}: {c[:70]}" for d, c in COMMANDS])
def test_a_command_of_the_documents_runs_and_answers(document: Path, command: str, server: Server) -> None:
    output = shell(command, server)
    assert output.strip(), document
    if shlex.split(command)[0] == "curl" and output[0] == "{" and "README.md" not in command:
        assert "urn:kinema:problem" not in output


def shape(value: Any) -> Any:
    """The keys of a JSON value, all the way down; of a list, those of its first item."""
    match value:
        case dict():
            return {key: shape(one) for key, one in value.items()}
        case [first, *_]:
            return [shape(first)]
        case _:
            return type(value).__name__.replace("int", "float")


def answers() -> Iterator[tuple[Path, str, str]]:
    """Each JSON block of a document with the last command before it."""
    for document in DOCUMENTS:
        command = ""
        for language, text in _FENCE.findall(document.read_text()):
            if language == "console":
                command = text.strip().splitlines()[-1].removeprefix("$ ")
            elif language == "json" and command:
                yield document, command, text


@pytest.mark.parametrize(("document", "command", "text"), list(answers()), ids=lambda value: str(value)[:40])
def test_an_answer_in_the_documents_looks_like_the_real_one(
    document: Path, command: str, text: str, server: Server
) -> None:
    told, real = json.loads(text), json.loads(shell(command, server))
    assert shape(told) == shape(real), document
    if "predictions" in told:
        # What comes second differs by precision, which differs by machine.
        assert told["predictions"][0]["label"] == real["predictions"][0]["label"]
        assert told["sampling"] == real["sampling"]
        assert told["media"] == real["media"]


@pytest.mark.parametrize("block", list(blocks("bash")), ids=str)
def test_a_block_of_commands_is_run_somewhere(block: Block) -> None:
    whole = block.text.replace("\\\n", " ")
    for line in re.split(r"\n|&&", whole):
        command = line.partition("#")[0].strip()
        if not command or command.startswith("cd "):
            continue
        tested = [place for start, place in ELSEWHERE.items() if command.startswith(start)]
        assert tested, f"{block.document}: nothing runs {command!r}"
        assert all((ROOT / place).exists() for place in tested)


def programs() -> Iterator[tuple[Block, str]]:
    """Each Python block of a document with what it prints: the block of text right after it, or else nothing."""
    for document in DOCUMENTS:
        for program, printed in _PROGRAM.findall(document.read_text()):
            yield Block(document, "python", program), printed


def test_every_program_of_the_documents_is_found() -> None:
    assert [block for block, _ in programs()] == list(blocks("python"))


@pytest.mark.parametrize(("block", "printed"), list(programs()), ids=lambda value: str(value)[:60])
def test_a_program_of_the_documents_runs(block: Block, printed: str, server: Server) -> None:
    program = block.text.replace("http://localhost:8000", server.url)
    # The service, which is imported here, keeps FFmpeg in this process and its children from opening files by name.
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if printed:
        assert done.stdout == printed
    else:
        assert "golf" in done.stdout


def test_every_setting_is_in_operations_with_its_default() -> None:
    rows = dict(
        re.findall(r"^\| `KINEMA_(\w+)` \| ([^|]+) \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    )
    assert {name.lower() for name in rows} == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if name != "model":
            default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert f"`{default}`" in rows[name.upper()], name


def test_every_metric_is_in_operations() -> None:
    exposition = Metrics().exposition()[0].decode()
    there = set(re.findall(r"^# TYPE (\w+)", exposition, re.MULTILINE))
    told = set(re.findall(r"^\| `(kinema_\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))
    assert told == there


def test_every_post_processor_is_in_events_with_its_parameters() -> None:
    document = (ROOT / "docs/events.md").read_text()
    for name, (kind, parameters) in KNOWN.items():
        assert f"| `{name}` | {kind.summary} |" in document
        for key, field in parameters.model_fields.items():
            least, most, default = map(plain, (*parameters.bounds(key), field.default))
            assert f"| `{name}` | `{key}` | {default} | {least} to {most} | {field.description} |" in document
    rows = set(re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)?", document, re.MULTILINE))
    assert rows == {(name, key) for name, (_, one) in KNOWN.items() for key in ("", *one.model_fields)}


def test_every_problem_is_in_the_api_document() -> None:
    document = (ROOT / "docs/api.md").read_text()
    for kind in TABLE.values():
        assert kind.status == 499 or re.search(rf"^\| {kind.status} \| [^\n]*`{kind.slug}`", document, re.MULTILINE), (
            kind
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_notice_names_every_real_clip() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for path in (ROOT / "tests/clips").glob("real-*"):
        assert str(path.relative_to(ROOT)) in notice
