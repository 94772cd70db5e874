"""Each package has one public face, ``__all__`` in its ``__init__``; a module announces what other modules import."""

import ast
import importlib
import importlib.metadata
import inspect
import types

import pytest

from floors import FOLDERS
from layers import read_modules
from paths import ROOT

PACKAGES = ["envs_data", "ospo_agents", "ospo_env"]


def public_members(module: types.ModuleType) -> set[str]:
    """Names a user sees in a package, without its submodules."""
    return {name for name, value in vars(module).items() if not name.startswith("_") and not inspect.ismodule(value)}


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_complete_unique_and_importable(package):
    module = importlib.import_module(package)
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        assert hasattr(module, name), f"{package}.{name} is announced and missing"
    assert public_members(module) <= set(module.__all__), f"{package} shows names that it does not announce"


def test_a_name_out_of_step_is_found():
    """The negative control: a face that shows more than it announces."""
    face = types.ModuleType("face")
    face.shown = 1
    face._hidden = 2
    face.submodule = types.ModuleType("face.submodule")
    assert public_members(face) == {"shown"}


@pytest.mark.parametrize("package", PACKAGES)
def test_public_objects_are_documented(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{package}.{name} has no docstring"


def test_the_environments_face():
    import ospo_env

    expected = {"FreeText", "RetrieverError", "RewriteEnv", "RewriteVectorEnv", "TaskError", "make_reference_policy"}
    assert expected <= set(ospo_env.__all__)


@pytest.mark.parametrize("package", [*PACKAGES, "ospo_cli"])
def test_each_package_has_the_version_of_the_project(package):
    assert importlib.import_module(package).__version__ == importlib.metadata.version("ospo")


def announced(source):
    """Names in a source file's ``__all__``, or None where there is none."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if [target.id for target in targets if isinstance(target, ast.Name)] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return None


def borrowed(modules):
    """Imports of names that the module of their origin does not announce."""
    faces = {module: announced(path.read_text()) for module, path in modules.items()}
    return [
        f"{module} imports {alias.name} of {node.module}"
        for module, path in modules.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and faces.get(node.module) is not None
        for alias in node.names
        if alias.name not in faces[node.module] and f"{node.module}.{alias.name}" not in modules
    ]


def test_modules_import_what_others_announce():
    assert borrowed(read_modules({package: ROOT / folder for package, folder in FOLDERS.items()})) == []


def test_a_borrowed_name_is_found(tmp_path):
    (tmp_path / "lender.py").write_text('__all__ = ["shown"]\nshown = kept = 1\n')
    (tmp_path / "borrower.py").write_text("from house.lender import shown\n")
    assert borrowed(read_modules({"house": tmp_path})) == []
    (tmp_path / "borrower.py").write_text("def late():\n    from house.lender import kept\n")
    assert borrowed(read_modules({"house": tmp_path})) == ["house.borrower imports kept of house.lender"]
