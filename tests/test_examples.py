"""The examples run as they are, and are short."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from paths import ROOT

EXAMPLES = {
    "credit_any_text.py": "+0.848  in sum, the reward is 0.848",
    "custom_retriever.py": "as it stands earns 0.",
    "reinforce.py": "step  600  nDCG@10 0.",
    "shapiq_game.py": "+0.512  suede shearling",  # as the first one says of the same text
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name):
    if name == "shapiq_game.py" and find_spec("shapiq") is None:
        pytest.skip("needs shapiq")
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
    if name == "shapiq_game.py":  # interactions of order 2 share what the three phrases earn, .848
        assert sum(float(line.split()[0]) for line in done.stdout.split("k-SII")[1].splitlines()[1:]) == pytest.approx(
            0.848, abs=3e-3
        )
    if name == "reinforce.py":
        rewards = [float(line.split()[-1]) for line in done.stdout.splitlines()]
        assert rewards[-1] > rewards[0] + 0.05, "it learns"


def test_all_examples_run_and_are_short():
    found = {path.name: path.read_text().count("\n") for path in (ROOT / "examples").glob("*.py")}
    assert set(found) == set(EXAMPLES)
    assert max(found.values()) < 80
