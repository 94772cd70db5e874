"""Names that pages write in backticks exist: files, dotted names, and options of the programs."""

import ast
import contextlib
import importlib
import inspect
import io
import re
import tomllib

import pytest
import yaml

from ospo_agents.advantages import REDISTRIBUTIONS
from ospo_agents.credit import SOLUTIONS
from ospo_agents.segments import SEGMENTERS
from ospo_cli.main import PROGRAMS
from ospo_env import RewriteEnv, wrappers
from ospo_env.registration import ENVIRONMENTS, SEARCH_ID
from ospo_env.retrievers import registry
from pages import PAGES, code_spans
from paths import ROOT

PATH = re.compile(r"(?:agents|docs|envs_data|examples|ospo_env|scripts|tests)(?:/[\w.-]+)*/(?:[\w-]+\.\w+)?")
PLACEHOLDER = re.compile("NAME|DIR")
DOTTED = re.compile(r"\b(?:envs_data|ospo_env|ospo_agents|ospo_cli)(?:\.\w+)+")
TEST = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<name>[\w:]+)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")
OTHERS_OPTIONS = {"--config_file", "--index-url", "--num_processes", "--strict"}
"""Options of pip, accelerate and mypy that pages name."""


ARGUMENTS = [name for name in inspect.signature(RewriteEnv).parameters if name not in ("sample", "unknown")]
"""Arguments of an environment that a user gives."""

SEARCH_ARGUMENTS = ["max_turns", "price", "shown", "max_words"]
"""Arguments that :class:`ospo_env.SearchEnv` has of its own, or reads in its own way."""


def wrong_names(page, options):
    """Names in a page's backticks that there are not."""
    spans = code_spans(page)
    wrong = {
        span for span in spans if PATH.fullmatch(span) and not PLACEHOLDER.search(span) and not (ROOT / span).exists()
    }
    for span in spans:
        wrong |= {span for match in TEST.finditer(span) if match["name"] not in names_of_tests(ROOT / match["file"])}
        wrong |= {name for name in DOTTED.findall(span) if not resolves(name)}
        wrong |= set(OPTION.findall(span)) - options
    return sorted(wrong)


def names_of_tests(path):
    """Names of a file's tests as pytest writes them, without parameters."""
    if not path.is_file():
        return set()
    body = ast.parse(path.read_text()).body
    tests = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    for node in body:
        if isinstance(node, ast.ClassDef):
            tests |= {f"{node.name}::{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
    return {name for name in tests if name.split("::")[-1].startswith("test_")}


def resolves(name):
    """Whether a dotted name is that of a module, or of something in one."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        return reaches(value, parts[depth:])
    return False


def reaches(value, attributes):
    """Whether attributes, or a dataclass's fields, lead on from a value."""
    for attribute in attributes:
        if not hasattr(value, attribute):
            return attribute in getattr(value, "__dataclass_fields__", {})
        value = getattr(value, attribute)
    return True


@pytest.fixture(scope="module")
def options():
    """Options of all programs, as their help names them."""
    known = set(OTHERS_OPTIONS)
    for name in PROGRAMS:
        program = importlib.import_module(f"ospo_cli.{name.replace('-', '_')}")
        for kind in ("esci", "hm", "table", "log", "beir", "irds") if name == "prepare" else ("",):
            with contextlib.redirect_stdout(io.StringIO()) as text, pytest.raises(SystemExit):
                program.main([*([kind] if kind else []), "--help"])
            known |= set(OPTION.findall(text.getvalue()))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_exist(page, options):
    assert wrong_names(page.read_text(), options) == []


@pytest.mark.parametrize(
    "text",
    [
        "`scripts/gone.py`",
        "`ospo_env/rooms/`",
        "`ospo_env.games`",
        "`ospo_agents.credit.SOLUTION`",
        "`ospo_env.task.RetrievalTask.judge`",
        "`--no-such-option 3`",
        "`tests/test_docs.py::test_of_nothing`",
        "`tests/test_docs.py::run`",
        "`tests/test_no_such.py::test_blocks_run`",
    ],
)
def test_wrong_names_are_found(text, options):
    right = (
        "`tests/`, `docs/RESULTS.md`, `ospo_agents.credit.SOLUTIONS`, `ospo train --steps 3`, `envs_data.SPLITS`, "
        "`tests/test_docs.py::test_blocks_run`, `tests/ospo_env/test_rewrites.py::TestEvaluate::"
        "test_a_file_of_rewrites_is_a_policy`"
    )
    assert wrong_names(right, options) == []
    assert len(wrong_names(f"{right}, {text}", options)) == 1


def test_moved_names_are_gone_and_lead_somewhere():
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert len(rows) > 40
    assert [new for _, new in rows if not resolves(new)] == []
    assert [old for old, _ in rows if "." in old and resolves(old)] == []
    assert not (ROOT / "agents" / "__init__.py").exists(), "the wheel would hold the import name of another project"


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert f"## {citation['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("concepts.md", [*SOLUTIONS, *REDISTRIBUTIONS, *SEGMENTERS]),
        (
            "environments.md",
            [*(registration.env_id for registration in ENVIRONMENTS), SEARCH_ID, *wrappers.__all__[:4], *ARGUMENTS],
        ),
        ("turns.md", [SEARCH_ID, *SEARCH_ARGUMENTS]),
        ("retrievers.md", list(registry._KINDS)),
    ],
    ids=["concepts", "environments", "turns", "retrievers"],
)
def test_every_entry_of_a_table_is_on_its_page(page, names):
    spans = code_spans((ROOT / "docs" / page).read_text())
    assert [name for name in names if not any(re.match(rf"{name}\b", span) for span in spans)] == []
    assert not any(re.match(r"no_such_name\b", span) for span in spans)
