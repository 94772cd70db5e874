"""Each package has one public face: ``__all__`` in its ``__init__``, complete and in order."""

import importlib
import importlib.metadata
import inspect
import types

import pytest

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
