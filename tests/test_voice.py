"""Docstrings define with a noun or a verb, not with a relative clause ("What ...", "Where ...", "Of ...")."""

import ast
import re

import pytest

from floors import FOLDERS
from layers import read_modules
from paths import ROOT

OPENINGS = {"How", "Of", "That", "Those", "What", "Where", "Which", "Who"}
ENTRY = re.compile(r"^ +\**\w+: (?P<first>\w+)", re.MULTILINE)
"""An entry of the sections Args and Attributes; its first word is where the definition begins."""


def docstrings(source):
    """Docstrings of a module, its classes and functions, and those of its constants."""
    for node in ast.walk(ast.parse(source)):
        for statement in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else ():
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def unclear(source):
    """Beginnings of definitions that are relative clauses."""
    for text in docstrings(source):
        if text.split(maxsplit=1)[:1] and re.match(r"\w+", text) and re.match(r"\w+", text)[0] in OPENINGS:
            yield text.splitlines()[0][:80]
        yield from (match[0].strip() for match in ENTRY.finditer(text) if match["first"] in OPENINGS)


def test_definitions_are_nouns_and_verbs():
    modules = read_modules({package: ROOT / folder for package, folder in FOLDERS.items()})
    found = [f"{module}: {line}" for module, path in modules.items() for line in unclear(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        '"""What a module holds."""',
        'def f():\n    """Which of them are known."""',
        'class A:\n    """A thing.\n\n    Attributes:\n        place: Where it lies.\n    """',
        'def f(seed):\n    """Draw.\n\n    Args:\n        seed: Of the order.\n    """',
        'X = 1\n"""What is meant."""',
    ],
)
def test_a_relative_clause_is_found(source):
    right = '"""Seeds."""\ndef f(seed):\n    """Draw.\n\n    Args:\n        seed: Seed of the order.\n    """\n'
    assert list(unclear(right)) == []
    assert len(list(unclear(source))) == 1
