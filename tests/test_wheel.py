"""The wheel: what it holds, and that it works in an environment that never saw the checkout."""

import os
import subprocess
import tomllib
import zipfile

import pytest

from paths import ROOT
from wheel_environment import build_wheel, install, known_names, make_environment, site_packages

PACKAGES = {"envs_data", "ospo_agents", "ospo_cli", "ospo_env"}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
DOCUMENTS = """doc_id,title,text
1,Red coat,A warm red coat of wool
2,Blue coat,A blue rain coat
3,Shoe,A red shoe
4,Hat,A hat
"""
QUERIES = "query_id,query,split\na,red coat,train\nb,rain coat,validation\nc,shoe,test\nd,hat,test\n"
QRELS = "query_id,doc_id,gain\na,1,1\nb,2,1\nc,3,1\nd,4,1\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def base(tmp_path_factory, wheel):
    """An environment with the base install."""
    environment = make_environment(tmp_path_factory.mktemp("base") / "venv")
    install(environment, wheel)
    return environment


@pytest.fixture(scope="module")
def full(tmp_path_factory, wheel):
    """An environment with ``[agents]``."""
    environment = make_environment(tmp_path_factory.mktemp("full") / "venv")
    install(environment, wheel, ["agents"])
    return environment


def execute(environment, program, *arguments, directory):
    """Run a program of an environment, with nothing of this process's paths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [environment / "bin" / program, *map(str, arguments)],
        cwd=directory,
        env={**kept, "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def top_level_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
    return {name for name in names if not name.endswith(".dist-info")}


def test_top_level_names(wheel):
    assert top_level_names(wheel) == PACKAGES


def test_no_name_is_another_packages(wheel):
    assert top_level_names(wheel) & known_names() == set()


@pytest.mark.parametrize("name", ["agents", "scripts", "tests", "numpy", "torch"])
def test_a_name_of_another_package_is_found(tmp_path, wheel, name):
    """The negative control: the same wheel with one more folder."""
    wrong = tmp_path / wheel.name
    wrong.write_bytes(wheel.read_bytes())
    with zipfile.ZipFile(wrong, "a") as archive:
        archive.writestr(f"{name}/__init__.py", "")
    assert top_level_names(wrong) & known_names() == {name}


def test_the_wheel_holds_what_programs_read(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    for kind in ("presets", "templates"):
        files = [path.name for path in (ROOT / "scripts" / "ospo_cli" / kind).iterdir() if path.is_file()]
        assert files
        assert {f"ospo_cli/{kind}/{name}" for name in files} <= names


def test_the_base_install(base, tmp_path):
    """Imports, an environment and the programs that need no learner; nothing of it is the checkout's."""
    for name, content in (("documents", DOCUMENTS), ("queries", QUERIES), ("qrels", QRELS)):
        (tmp_path / f"{name}.csv").write_text(content)
    program = (
        "import importlib.util, sys\n"
        "import ospo_env, envs_data\n"
        "light = set(sys.modules)\n"
        "import gymnasium\n"
        "env = gymnasium.make('ospo_env:OSPO-ESCI-v0')\n"
        "env.reset(seed=0)\n"
        "assert 0 <= env.step('red coat')[1] <= 1\n"
        "import ospo_agents, ospo_cli\n"
        "packages = (envs_data, ospo_agents, ospo_cli, ospo_env)\n"
        "print(*[package.__version__ for package in packages])\n"
        "print(*[package.__file__ for package in packages])\n"
        "print(*[name for name in ('torch', 'transformers', 'trl', 'matplotlib') if importlib.util.find_spec(name)])\n"
        "print(*[name for name in ('sklearn', 'matplotlib', 'torch') if name in light])\n"
    )
    version, files, heavy, loaded = execute(base, "python", "-c", program, directory=tmp_path).split("\n")[:4]
    assert version.split() == 4 * [VERSION]
    assert all(file.startswith(str(site_packages(base))) for file in files.split())
    assert (heavy, loaded) == ("", "")

    assert "usage: ospo" in execute(base, "ospo", "--help", directory=tmp_path)
    assert execute(base, "ospo", "--version", directory=tmp_path) == f"ospo {VERSION}\n"
    assert "usage: ospo train" in execute(base, "ospo", "train", "--help", directory=tmp_path)
    tables = [part for name in ("documents", "queries", "qrels") for part in (f"--{name}", f"{name}.csv")]
    written = execute(base, "ospo", "prepare", "table", *tables, "--out", "own", directory=tmp_path)
    assert "queries         4" in written
    own = ("--env", "OSPO-Rewrite-v0", "--data", "own")
    matrix = execute(base, "ospo", "evaluate", *own, "--policy", "query", "--retrievers", "bm25", directory=tmp_path)
    assert "2 test queries of OSPO-Rewrite-v0" in matrix
    text = execute(base, "ospo", "explain", *own, "--query-id", "c", "--text", "red shoe", directory=tmp_path)
    assert "ranking   after" in text


@pytest.mark.slow
def test_the_whole_path_with_agents(full, tmp_path):
    """Train, evaluate, explain and report, as the README has it."""
    quick = ("--steps", "2", "--warm-start-epochs", "0.1", "--batch-size", "8", "--group-size", "4")
    quick += ("--max-completion-length", "8")
    execute(full, "ospo", "train", "--preset", "demo", *quick, "--out", "run", directory=tmp_path)
    execute(
        full, "ospo", "evaluate", "--env", "OSPO-ESCI-v0", "--split", "test", "--retrievers", "bm25",
        "--policy", "query", "run", "--json", "run/metrics.json", directory=tmp_path,
    )  # fmt: skip
    execute(full, "ospo", "explain", "--query-id", "shopping-q00534", "--text", "red wool coat", directory=tmp_path)
    arguments = ("--run", "run", "--evaluation", "run/metrics.json", "--examples", "1")
    execute(full, "ospo", "report", *arguments, directory=tmp_path)
    assert "<html" in (tmp_path / "run" / "report.html").read_text()
    located = execute(full, "python", "-c", "import ospo_cli; print(ospo_cli.__file__)", directory=tmp_path)
    assert located.startswith(str(site_packages(full)))
