"""Servers that a page of the documents starts in the background, and the requests that it sends them."""

import shutil
import subprocess
from contextlib import ExitStack

import pytest

from rewrite_server import RewriteServer


class Servers(ExitStack):
    """Servers in the background, until the context ends."""

    port = None

    def start(self, words):
        *arguments, background = words
        assert background == "&", f"a server that nobody stops: {words}"
        self.port = self.enter_context(RewriteServer(*arguments)).port

    def ask(self, words):
        """The answer to ``curl`` of the page's own server."""
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        asked = [word.replace("://localhost:8000/", f"://127.0.0.1:{self.port}/") for word in words]
        done = subprocess.run([*asked, "--fail-with-body"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout
