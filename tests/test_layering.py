"""Imports run downward only: ospo_agents and ospo_env do not know each other, envs_data knows neither."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

LEARNERS = {"torch", "transformers", "trl", "peft", "accelerate", "stable_baselines3", "datasets"}
FOLDERS = {"ospo_agents": "agents/ospo_agents"}
"""Where a package lies, if not in a folder of its own name."""
FORBIDDEN = {
    "ospo_agents": {"ospo_env", "envs_data", "ospo_cli"},
    "ospo_env": {"ospo_agents", "ospo_cli"} | LEARNERS,
    "envs_data": {"ospo_agents", "ospo_env", "ospo_cli", "gymnasium"} | LEARNERS,
}


def imported_names(source: str) -> set[str]:
    """Top-level names of all modules that a source file imports, at any depth, literal dynamic imports included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).split(".")[-1]
            argument = node.args[0]
            if called in ("import_module", "__import__") and isinstance(argument, ast.Constant):
                names.add(str(argument.value).split(".")[0])
    return names


def violations(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)} imports {name}"
        for package, forbidden in FORBIDDEN.items()
        for path in sorted((root / FOLDERS.get(package, package)).rglob("*.py"))
        for name in sorted(imported_names(path.read_text(encoding="utf-8")) & forbidden)
    ]


def test_no_package_imports_upward():
    for package in FORBIDDEN:
        assert any((ROOT / FOLDERS.get(package, package)).rglob("*.py")), package
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("ospo_agents", "import ospo_env"),
        ("ospo_agents", "from envs_data.prepared import PreparedData"),
        ("ospo_agents", "def late():\n    from ospo_env.env import RewriteEnv"),
        ("ospo_env", "import torch.nn as nn"),
        ("ospo_env", "from ospo_agents import protocols"),
        ("ospo_env", "if TYPE_CHECKING:\n    import transformers"),
        ("ospo_env", "importlib.import_module('torch')"),
        ("envs_data", "from ospo_env import text"),
    ],
)
def test_a_violation_is_found(tmp_path, package, line):
    """The negative control: a tree with one wrong line, which must be reported, beside allowed ones."""
    for name in FORBIDDEN:
        folder = tmp_path / FOLDERS.get(name, name)
        folder.mkdir(parents=True)
        (folder / "fine.py").write_text("import os\nfrom . import sibling\nagents = 'ospo_env'\n")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "join.py").write_text("import ospo_agents, ospo_env, envs_data\n")
    assert violations(tmp_path) == []
    folder = FOLDERS.get(package, package)
    (tmp_path / folder / "wrong.py").write_text(f"{line}\n")
    (found,) = violations(tmp_path)
    assert found.startswith(f"{folder}/wrong.py imports ")


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    program = f"{statement}\nimport sys\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_environments_loads_no_learner():
    loaded = loaded_after("import ospo_env")
    assert "ospo_env" in loaded
    assert loaded & (LEARNERS | {"ospo_agents", "sentence_transformers"}) == set()


def test_a_loaded_module_is_seen():
    """The negative control of the test above."""
    assert "ospo_agents" in loaded_after("import ospo_env, ospo_agents")
