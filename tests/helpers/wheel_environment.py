"""Virtual environments that hold the project's wheel and exactly what it asks for, taken from the running environment.

Each distribution is a set of links to the running environment's files, which takes a second instead of a download.
The project itself is never linked: it comes from the wheel.
"""

import os
import re
import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = "ospo"


def build_wheel(root, directory):
    """The wheel of a checkout, built without a network."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=root,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = directory.glob("*.whl")
    return wheel


def make_environment(directory):
    """An empty virtual environment."""
    venv.create(directory, with_pip=False, symlinks=True)
    return directory


def site_packages(environment):
    (found,) = environment.glob("lib/python*/site-packages")
    return found


def install(environment, wheel, extras=()):
    """Install a wheel, its dependencies and those of some extras; pip checks that none is missing."""
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    for name in closure(wheel_requirements(wheel, extras)):
        link(name, site_packages(environment))
    pip(environment, "install", "--no-index", "--force-reinstall", "--no-deps", str(wheel))
    pip(environment, "install", "--no-index", wanted)


def pip(environment, *arguments):
    command = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wheel_requirements(wheel, extras):
    """What a wheel's metadata ask for, as packaging's requirements."""
    import zipfile
    from email.parser import Parser

    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    return applying([Requirement(line) for line in metadata.get_all("Requires-Dist", [])], extras)


def applying(requirements, extras):
    """Requirements whose markers hold here, with one of the extras or without any."""
    wanted = [{"extra": extra} for extra in ("", *extras)]
    return [one for one in requirements if not one.marker or any(map(one.marker.evaluate, wanted))]


def closure(requirements):
    """Names of the distributions that requirements need, directly or through others."""
    names, open_ones = {}, list(requirements)
    while open_ones:
        requirement = open_ones.pop()
        key = (re.sub(r"[-_.]+", "-", requirement.name).lower(), frozenset(requirement.extras))
        if key in names:
            continue
        names[key] = None
        try:
            listed = distribution(requirement.name).requires or []
        except PackageNotFoundError as error:
            raise AssertionError(f"the running environment lacks {requirement.name}") from error
        open_ones += applying([Requirement(line) for line in listed], requirement.extras)
    return sorted({name for name, _ in names})


def link(name, target):
    """Link a distribution's top-level files and folders into an environment."""
    assert name != PROJECT
    files = distribution(name).files
    for part in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
        place = target / part
        if not place.exists():
            os.symlink(Path(distribution(name).locate_file(part)).resolve(), place)


def known_names():
    """Top-level import names that other packages have: all of the running environment's, and names of known misuse."""
    installed = {name for name, owners in packages_distributions().items() if set(owners) != {PROJECT}}
    return installed | COMMON


COMMON = {
    "agents",  # openai-agents
    "benchmark",
    "benchmarks",
    "build",
    "data",
    "datasets",
    "docs",
    "env",
    "envs",
    "evaluate",
    "examples",
    "helpers",
    "lib",
    "scripts",
    "src",
    "test",
    "tests",
    "tools",
    "train",
    "training",
    "utils",
}
"""Names that packages on the index install, or that every second checkout has at its top."""
