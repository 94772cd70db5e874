"""Imports run downward only: between the packages, and from floor to floor inside each."""

import subprocess
import sys
from itertools import pairwise

import pytest

from floors import CORE, FLOORS, FOLDERS, FORBIDDEN, LEARNERS
from layers import import_pairs, misplaced, read_modules, upward_imports
from paths import ROOT


def tree(root):
    return read_modules({package: root / folder for package, folder in FOLDERS.items()})


def forbidden_imports(modules):
    """Imports of another package, or of a library, that a package must not know."""
    return [
        f"{module} imports {name}"
        for module, name in import_pairs(modules)
        if name.split(".")[0] in FORBIDDEN.get(module.split(".")[0], set())
    ]


def heavy_imports(modules):
    """Imports of the learner's core that are neither NumPy nor the standard library nor the learner's own."""
    light = {"numpy", "ospo_agents"} | sys.stdlib_module_names
    return [
        f"{module} imports {name}"
        for module, name in import_pairs(modules)
        if module in CORE or module.startswith(tuple(f"{name}." for name in CORE))
        if name.split(".")[0] not in light
    ]


def violations(modules):
    return forbidden_imports(modules) + heavy_imports(modules) + upward_imports(modules, FLOORS)


def test_every_module_has_one_floor():
    modules = tree(ROOT)
    assert all(package in modules for package in FOLDERS)
    assert misplaced(modules, FLOORS) == []


def test_imports_run_downward():
    assert violations(tree(ROOT)) == []


def write_tree(root, packages):
    """Empty modules for the members of some packages of :data:`FLOORS`; returns their files by dotted name."""
    for package in packages:
        top, *rooms = package.split(".")
        folder = root.joinpath(FOLDERS[top], *rooms)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (name for floor in FLOORS[package] for name in floor.split()):
            if f"{package}.{name}" not in packages:
                (folder / f"{name}.py").write_text("import os\n")
    return tree(root)


def wrong_pairs(package):
    """Pairs of members of which the first must not import the second: of the next floor, and neighbours."""
    floors = [floor.split() for floor in FLOORS[package]]
    pairs = [(low[0], high[-1]) for low, high in pairwise(floors)]
    return pairs + [(floor[0], floor[1]) for floor in floors if len(floor) > 1]


def statements(package, name):
    """The ways to import a member of a package."""
    if name == "__init__":
        return [f"import {package}", f"from {package} import anything"]
    parent, _, room = package.rpartition(".")
    return [
        f"import {package}.{name} as other",
        f"from {package} import {name}",
        f"def late():\n    from {package}.{name} import thing",
        f"importlib.import_module('{package}.{name}')",
        f"from .{name} import thing",
        *([f"from ..{room} import {name}"] if parent else []),
    ]


@pytest.mark.parametrize("package", FLOORS)
def test_an_import_that_does_not_lead_down_is_found(tmp_path, package):
    """The negative control inside each package and each room, beside imports that do lead down."""
    modules = write_tree(tmp_path, [package])
    assert violations(modules) == []
    for importer, imported in wrong_pairs(package):
        wrong, right = modules[f"{package}.{importer}"], modules.get(f"{package}.{imported}")
        for statement in statements(package, imported):
            wrong.write_text(f"import importlib\n{statement}\n")
            (fault,) = violations(modules)
            assert fault.startswith(f"{package}.{importer} imports {package}")
        wrong.write_text("import os\n")
        if right and importer in FLOORS[package][0].split() and imported not in FLOORS[package][0].split():
            right.write_text(f"from {package}.{importer} import thing\n")
            assert violations(modules) == []


def test_a_circle_between_rooms_is_found(tmp_path):
    modules = write_tree(tmp_path, ["ospo_env", "ospo_env.scoring", "ospo_env.retrievers"])
    modules["ospo_env.scoring.coalitions"].write_text("from ospo_env.retrievers.base import Retriever\n")
    assert violations(modules) == []
    modules["ospo_env.retrievers.registry"].write_text("def late():\n    from ospo_env.scoring import text_cache\n")
    (fault,) = violations(modules)
    assert fault == (
        "ospo_env.retrievers.registry imports ospo_env.scoring.text_cache: "
        "scoring is not on a lower floor of ospo_env than retrievers"
    )


def test_a_module_without_a_floor_is_found(tmp_path):
    modules = write_tree(tmp_path, FLOORS)
    assert misplaced(modules, FLOORS) == []
    new = tmp_path / "ospo_env" / "scoring" / "new.py"
    new.write_text("")
    assert misplaced(tree(tmp_path), FLOORS) == [
        "ospo_env.scoring.new is on no floor; give it one in tests/helpers/floors.py"
    ]
    new.unlink()
    (tmp_path / "envs_data" / "errors.py").unlink()
    assert misplaced(tree(tmp_path), FLOORS) == ["envs_data.errors has a floor and does not exist"]
    twice = {**FLOORS, "ospo_agents": [*FLOORS["ospo_agents"], "credit"]}
    assert "ospo_agents.credit is on two floors" in misplaced(tree(tmp_path), twice)
    assert "ospo_env.attic has floors and does not exist" in misplaced(modules, {**FLOORS, "ospo_env.attic": ["a"]})


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ospo_agents.trainer", "import ospo_env"),
        ("ospo_agents.training.stages", "from envs_data.prepared import PreparedData"),
        ("ospo_agents.policies.tiny", "def late():\n    from ospo_env.env import RewriteEnv"),
        ("ospo_agents.credit.permutations", "from scipy import stats"),
        ("ospo_agents.alignment", "def late():\n    import torch"),
        ("ospo_env.task", "import torch.nn as nn"),
        ("ospo_env.text", "from ospo_agents import protocols"),
        ("ospo_env.retrievers.dense", "if TYPE_CHECKING:\n    import transformers"),
        ("ospo_env.env", "importlib.import_module('torch')"),
        ("envs_data.prepared", "from ospo_env import text"),
        ("envs_data.splits", "import gymnasium"),
    ],
)
def test_an_import_of_what_a_package_must_not_know_is_found(tmp_path, module, line):
    """The negative control between packages; what joins them is allowed."""
    modules = write_tree(tmp_path, FLOORS)
    modules["ospo_cli.train"].write_text("import ospo_agents, ospo_env, envs_data, torch\n")
    modules["ospo_env.env"].write_text("from envs_data import PreparedData\n")
    modules["ospo_agents.trainer"].write_text("import trl\n")
    assert violations(modules) == []
    modules[module].write_text(f"{line}\n")
    (fault,) = violations(modules)
    assert fault.startswith(f"{module} imports ")


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    program = f"{statement}\nimport sys\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_environments_loads_no_learner():
    loaded = loaded_after("import ospo_env")
    assert "ospo_env" in loaded
    assert loaded & (LEARNERS | {"ospo_agents", "sentence_transformers", "sklearn", "matplotlib"}) == set()


def test_the_learners_core_loads_numpy_alone():
    loaded = loaded_after(f"import {', '.join(CORE)}")
    assert {"numpy", "ospo_agents"} <= loaded
    assert loaded & (LEARNERS | {"ospo_env", "envs_data", "scipy", "polars", "gymnasium"}) == set()


def test_a_loaded_module_is_seen():
    """The negative control of the two tests above."""
    assert {"ospo_agents", "scipy"} <= loaded_after("import ospo_env, ospo_agents")
