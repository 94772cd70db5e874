"""README and docs are true: their Python runs, their commands run, their links lead somewhere.

Blocks of a page run in order, Python in one namespace, in an empty directory. Commands run in this process, with small
files in place of ``DIR`` and few steps; those that take long or need weights from a hub have their arguments parsed.
"""

import importlib
import re
import runpy
import subprocess
import sys
import tomllib
from functools import partial
from itertools import pairwise

import pytest

from official_files import write_esci, write_hm
from ospo_cli.main import PROGRAMS
from own_files import write_beir, write_own
from page_servers import Servers
from pages import PAGES, blocks, commands
from paths import ROOT

LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(#[^)\s]*)?\)")
SMALL = {"--steps": "2", "--batch-size": "8", "--group-size": "2", "--max-completion-length": "8"}
SMALL |= {"--warm-start-epochs": "0.1"}
LANGUAGES = ("python", "sh", "text", "yaml")
"""Of blocks; those of YAML are read by tests/agents/test_accelerate_files.py."""
PARSED = ("study", "benchmark", "serve-env", "gpu-check")
PRINTED = ("own-data.md", "search-teams.md")
"""Pages whose text blocks are part of what the commands above them print, and whose trainings run as written."""
FILES = {"esci": write_esci, "hm": write_hm, "beir": write_beir, "table": partial(write_own, ending="parquet")}
"""Small files of each kind that is prepared."""


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))  # for the examples
    return tmp_path


@pytest.fixture
def servers():
    with Servers() as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page, empty, capsys, servers):
    namespace = {"__name__": "__main__"}
    printed = ""
    for language, content in blocks(page.read_text()):
        assert language in ("python", "sh", "text", "yaml"), (
            f"a block of {page.name} does not say what it is: {content[:60]!r}"
        )
        if language == "python":
            exec(compile(content, page.name, "exec"), namespace)
        elif language == "sh":
            capsys.readouterr()
            for words in commands(content):
                if words[:2] == ["ospo", "serve"]:
                    servers.start(words[2:])
                elif words[0] == "curl":
                    assert servers.ask(words)
                else:
                    run(words, empty, whole=page.name in PRINTED)
            printed = capsys.readouterr().out
        elif page.name in PRINTED:
            assert content in printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert len(page.read_text()) > 500
    targets = [match["target"] for match in LINK.finditer(page.read_text())]
    for target in targets:
        assert re.match(r"https?://", target) or (page.parent / target).exists(), f"{page.name}: {target} is not there"


@pytest.mark.parametrize(
    "words",
    [
        ["make", "no-such-target"],
        ["python", "scripts/evaluate.py", "--env", "OSPO-ESCI-v0", "--policy", "query", "--no-such-option"],
        ["python", "scripts/no_such_program.py"],
        ["ospo", "study", "--no-such-option"],
        ["ospo", "no-such-program"],
        ["ospo", "train_sb3", "--help"],
        ["accelerate", "launch", "scripts/train.py"],
        ["pip", "install", "ospo[no-such-extra]"],
        ["rm", "-r", "runs"],
    ],
    ids=" ".join,
)
def test_wrong_commands_are_found(words, empty, capsys):
    with pytest.raises((AssertionError, SystemExit)):
        run(words, empty)


def run(words, directory, whole=False):
    """One command of a page; trainings are shrunk unless the whole is asked for."""
    if words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True)
        assert done.returncode == 0, words
    elif words[0] == "pip":
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.findall(r"\[([\w,-]+)\]", words[-1])
        assert words[1] == "install"
        assert all(extra in known for extras in asked for extra in extras.split(",")), words
    elif words[:2] == ["accelerate", "launch"]:
        assert "-m" in words, words
        run(["python", *words[words.index("-m") :]], directory, whole)
    elif words[:3] == ["python", "-m", "ospo_cli"]:
        run(["ospo", *words[3:]], directory, whole)
    elif words[0] == "ospo":
        assert words[1] in PROGRAMS, words
        run_program(words[1], words[2:], directory, whole)
    else:
        assert words[0] == "python", words
        script = ROOT / words[1]
        assert script.is_file(), words
        if script.parent.name == "examples":
            sys.argv = [str(script), *words[2:]]
            runpy.run_path(str(script), run_name="__main__")
        else:
            run_program(script.stem.replace("_", "-"), words[2:], directory, whole)


def run_program(name, arguments, directory, whole=False):
    program = importlib.import_module(f"ospo_cli.{name.replace('-', '_')}")
    if name in PARSED:
        program.parse(arguments)
        return
    if name == "model":  # which asks the package index
        program._parser().parse_args(arguments)
        return
    if name == "train":
        if "--preset" in arguments or any("/" in value and not value.startswith("runs") for value in policy(arguments)):
            program.parse(arguments)
            return
        arguments = arguments if whole else shrunk(arguments)
    if name == "prepare" and any(word.startswith("DIR") for word in arguments):
        arguments = [re.sub("^DIR", str(source(arguments[0], directory)), word) for word in arguments]
    program.main(arguments)


def policy(arguments):
    return [after for option, after in pairwise(arguments) if option == "--policy"]


def shrunk(arguments):
    """The arguments of a training run of a second or two."""
    rest = list(arguments)
    for option in SMALL:
        if option in rest:
            place = rest.index(option)
            del rest[place : place + 2]
    return [*rest, *(word for pair in SMALL.items() for word in pair)]


def source(kind, directory):
    """Small files of the kind that is prepared."""
    place = directory / f"source-{kind}"
    if not place.is_dir():
        FILES[kind](place)
    return place
