"""The examples run as they are, and are short."""

import os
import subprocess
import sys

import pytest

from paths import ROOT

EXAMPLES = {
    "credit_any_text.py": "+0.848  in sum, the reward is 0.848",
    "custom_retriever.py": "as it stands earns 0.",
    "reinforce.py": "step  600  nDCG@10 0.",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert EXAMPLES[name] in done.stdout
    if name == "reinforce.py":
        rewards = [float(line.split()[-1]) for line in done.stdout.splitlines()]
        assert rewards[-1] > rewards[0] + 0.05, "it learns"


def test_all_examples_run_and_are_short():
    found = {path.name: path.read_text().count("\n") for path in (ROOT / "examples").glob("*.py")}
    assert set(found) == set(EXAMPLES)
    assert max(found.values()) < 80
