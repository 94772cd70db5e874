"""The pages that a reader sees, their code blocks, and the names that they write in backticks."""

import re
import shlex

from paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def blocks(page):
    """Languages and contents of a page's fenced blocks, in order."""
    return [(match["language"], match["content"]) for match in FENCE.finditer(page)]


def code_spans(page):
    """What stands in backticks outside of the blocks."""
    return CODE.findall(FENCE.sub("", page))


def commands(content):
    """Words of each command of a block of the shell; lines may go on, and comments are none."""
    joined = content.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]
