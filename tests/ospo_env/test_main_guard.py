"""The conformance kit called from a script: with a main guard it works, without one it says what to write."""

import os
import subprocess
import sys

import pytest

from paths import ROOT

CLASS = """
import functools
import gymnasium
from ospo_env.conformance import check_env, check_retriever
from ospo_env.retrievers.bm25 import BM25Retriever

print("run as", __name__)

class Mine(BM25Retriever):
    name = "mine"

def make():
    return gymnasium.make("OSPO-ESCI-v0", retriever=Mine)

"""
CALLS = {"check_retriever": "check_retriever(Mine)", "check_env": "check_env(make, texts=['red coat'])"}
each = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def run(tmp_path, program):
    path = tmp_path / "script.py"
    path.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment, check=False, timeout=300
    )


@each
def test_a_script_without_a_guard_is_told_what_to_write(tmp_path, call):
    finished = run(tmp_path, f"{CLASS}{call}\nprint('checked')\n")
    assert finished.returncode == 1
    assert finished.stdout.splitlines() == ["run as __main__", "run as __mp_main__"], (
        "run again once, and left at the call"
    )
    last = finished.stderr.splitlines()[-1]
    assert "put the call below the line if __name__ == '__main__':" in last
    assert "'processes'" not in last, "no clause of the contract is broken"
    assert finished.stderr.count("Traceback") == 1, "the other process says nothing"


@each
def test_a_script_with_a_guard_passes(tmp_path, call):
    """The negative control."""
    finished = run(tmp_path, f"{CLASS}if __name__ == '__main__':\n    {call}\n    print('checked')\n")
    assert (finished.returncode, finished.stdout.splitlines()[-1]) == (0, "checked"), finished.stderr


def test_a_class_below_the_guard_is_told_where_to_stand(tmp_path):
    hidden = "if __name__ == '__main__':\n    class Hidden(Mine):\n        pass\n\n    check_retriever(Hidden)\n"
    finished = run(tmp_path, CLASS + hidden)
    assert finished.returncode == 1
    assert (
        "define it at the top level of its module, above if __name__ == '__main__':" in finished.stderr.splitlines()[-1]
    )
