"""Documents in memory and on disk are the same; what was found out about files holds as long as they do."""

import dataclasses
import os
import pickle
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from envs_data import DataError, cache, documents, load_prepared
from envs_data.cache import FileIdentity, recall, remember
from envs_data.documents import Documents, corpus_digest, open_documents

N = 50
FRAME = pl.DataFrame(
    {
        "doc_id": [f"d{row}" for row in range(N)],
        "title": [f"title {row}" for row in range(N)],
        "text": [f"té {row % 7}" for row in range(N)],
    }
)
TEXTS = FRAME["text"].to_list()


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that is too large for memory and is read in several blocks."""
    monkeypatch.setattr(documents, "_IN_MEMORY", 0)
    monkeypatch.setattr(documents, "_BLOCK", 8)
    FRAME.write_parquet(tmp_path / "documents.parquet")
    return tmp_path / "documents.parquet"


def test_on_disk_as_in_memory(large):
    for found in (Documents(FRAME), open_documents(large), pickle.loads(pickle.dumps(open_documents(large)))):
        assert found.height == len(found.texts) == N
        assert list(found.texts) == TEXTS
        for rows in (slice(0, 20), slice(13, None), slice(-9, -2), slice(40, 4, -7), slice(30, 3)):
            assert found.texts[rows] == TEXTS[rows]
        assert [found.texts[row] for row in (0, 49, -1, 9, 8, 0)] == [TEXTS[row] for row in (0, 49, -1, 9, 8, 0)]
        with pytest.raises(IndexError):
            found.texts[N]
        assert TEXTS[3] in found.texts
        assert found.digest == corpus_digest(TEXTS)
        assert found.lazy().collect().equals(FRAME)
        assert found["title"].equals(FRAME["title"])
        assert found.rows("title", 5, 3).to_list() == FRAME["title"].to_list()[5:8]
        assert found.frame.equals(FRAME)


def test_texts_are_read_when_they_are_asked_for(large, monkeypatch):
    read = []
    monkeypatch.setattr(Documents, "_read", lambda self, *asked: read.append(asked) or pl.Series(["x"]))
    found = open_documents(large)
    assert found["doc_id"][3] == "d3"
    assert found.height == N
    assert read == []
    assert found.texts[3:5] == ["x"]
    assert read == [("text", 3, 2)]


def test_the_working_directory_may_change(large, monkeypatch):
    monkeypatch.chdir(large.parent)
    found = open_documents(Path(large.name))
    monkeypatch.chdir("/")
    assert found.texts[3] == TEXTS[3]


def test_a_known_digest_is_taken(large):
    assert open_documents(large, "known").digest == "known"


@pytest.mark.parametrize("change", [lambda path: FRAME.head(9).write_parquet(path), lambda path: path.unlink()])
def test_a_file_that_changed_is_noticed(large, change):
    found = open_documents(large)
    change(large)
    with pytest.raises(DataError, match="open the data again") as caught:
        found["text"]
    assert "\n" not in str(caught.value)


def settle(monkeypatch):
    """Let ten seconds pass: unlike the time of modification, the time of change cannot be set back."""
    monkeypatch.setattr(cache.time, "time_ns", lambda real=time.time_ns: real() + 10**10)


def test_what_is_remembered_is_about_files_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_text("one")
    remember("a", [FileIdentity.of(file)], "too new")
    assert recall("a", [FileIdentity.of(file)]) is None
    settle(monkeypatch)
    remember("a", [FileIdentity.of(file)], "found")
    assert recall("a", [FileIdentity.of(file)]) == "found"
    assert recall("b", [FileIdentity.of(file)]) is None
    assert recall("a", [FileIdentity.of(file)] * 2) is None
    file.write_text("two")
    assert recall("a", [FileIdentity.of(file)]) is None
    monkeypatch.setenv("OSPO_CACHE_DIR", str(file))  # no directory can be made there
    remember("a", [FileIdentity.of(file)], "found")
    assert recall("a", [FileIdentity.of(file)]) is None


@pytest.mark.parametrize("in_memory", [0, 2**26])
def test_a_directory_is_checked_once(tmp_path, monkeypatch, in_memory):
    from shop import write_shop

    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(documents, "_IN_MEMORY", in_memory)
    path = tmp_path / "shop"
    written = write_shop(path)
    checked = []
    for module, name in (("prepared", "check_tables"), ("prepared", "_check_digest"), ("documents", "corpus_digest")):
        real = getattr(__import__(f"envs_data.{module}", fromlist=[name]), name)
        counted = lambda *given, name=name, real=real: checked.append(name) or real(*given)  # noqa: E731
        monkeypatch.setattr(f"envs_data.{module}.{name}", counted)
    load_prepared(path)
    assert len(checked) == 7
    settle(monkeypatch)
    load_prepared(path)
    assert len(checked) == 14  # only now did the files look settled
    again = load_prepared(path)
    assert again.documents.digest == written.documents.digest
    assert again.documents.frame.equals(written.documents.frame)
    assert again.qrels.equals(written.qrels)
    assert checked.count("corpus_digest") == 3  # twice to check, and once for what was written
    assert len(checked) == 15

    content = (path / "qrels.parquet").read_bytes()
    (path / "qrels.parquet").write_bytes(content[:-1] + b"?")
    with pytest.raises(DataError, match=r"qrels.parquet is not the file that manifest.json lists"):
        load_prepared(path)


def test_a_user_without_a_home_reads_data_too(tmp_path, monkeypatch):
    """Nothing is remembered then; every opening checks."""
    from shop import write_shop

    written = write_shop(tmp_path / "shop")
    monkeypatch.delenv("OSPO_CACHE_DIR", raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda name: f"~/{name}")
    with pytest.raises(DataError, match="there is no home directory"):
        cache.cache_directory()
    settle(monkeypatch)
    for _ in range(2):
        assert load_prepared(tmp_path / "shop").fingerprint == written.fingerprint


def overwrite(file, content):
    """Write in place, then set the time of modification back."""
    status = file.stat()
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def flipped(content, rng):
    """The content with one other bit."""
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def test_changes_that_keep_the_time_of_modification_are_noticed(tmp_path, monkeypatch):
    from shop import write_shop

    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "shop"
    write_shop(path)
    settle(monkeypatch)
    files, rng = sorted(path.glob("*.parquet")), np.random.default_rng(0)
    for trial in range(40):
        load_prepared(path)  # is checked and remembered
        file = files[trial % len(files)]
        content, before = file.read_bytes(), FileIdentity.of(file)
        overwrite(file, flipped(content, rng))
        after = FileIdentity.of(file)
        assert dataclasses.replace(after, changed=before.changed) == before != after  # nothing else shows the change
        with pytest.raises(DataError, match=f"{file.name} is not the file that manifest.json lists"):
            load_prepared(path)
        overwrite(file, content)
