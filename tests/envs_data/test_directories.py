"""Prepared directories are written completely or not at all, whatever kills the process; nothing is left for ever."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from filelock import FileLock

from envs_data import DataError, directories, files, load_prepared, prepare_tables
from envs_data.directories import replace_directory, restore_directory
from killed import run_killed
from own_files import write_own

SEEDS = (1, 2)


def prepare(source, out, seed):
    paths = {name: source / f"{name}.parquet" for name in ("documents", "queries", "qrels")}
    return prepare_tables(**paths, out=out, seed=seed, pool_size=20)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    source = tmp_path_factory.mktemp("in")
    write_own(source, ending="parquet")
    return source


@pytest.fixture(scope="module")
def fingerprints(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return [prepare(source, out / str(seed), seed).fingerprint for seed in SEEDS]


def preparation(source, out):
    arguments = ", ".join(f"{name}={str(source / name)!r} + '.parquet'" for name in ("documents", "queries", "qrels"))
    return f"import envs_data; envs_data.prepare_tables({arguments}, out={str(out)!r}, seed=2, pool_size=20)"


def kill_at(points, source, fingerprints, tmp_path):
    """Kill a preparation at some file operations, without and with an earlier directory; returns what was left."""
    left = set()
    program = preparation(source, tmp_path / "data")
    for replacing in (False, True):
        if replacing:
            prepare(source, tmp_path / "data", seed=1)
        total = run_killed(program, tmp_path)
        stops = np.unique(np.linspace(1, total, points).round().astype(int)).tolist()
        assert len(stops) == points
        for stop in stops:
            if replacing:
                prepare(source, tmp_path / "data", seed=1)
            assert run_killed(program, tmp_path, stop) is None
            left |= set(os.listdir(tmp_path))
            if replacing:  # there is a whole one all the time
                assert load_prepared(tmp_path / "data").fingerprint in fingerprints
            elif (tmp_path / "data").exists():
                assert load_prepared(tmp_path / "data").fingerprint == fingerprints[1]
            assert prepare(source, tmp_path / "data", seed=2).fingerprint == fingerprints[1]
            assert load_prepared(tmp_path / "data").fingerprint == fingerprints[1]
            assert os.listdir(tmp_path) == ["data"]
            if not replacing:
                for path in sorted((tmp_path / "data").iterdir()):
                    path.unlink()
                (tmp_path / "data").rmdir()
    return left


def test_a_preparation_that_is_killed_leaves_nothing(source, fingerprints, tmp_path):
    assert ".data.partial" in kill_at(3, source, fingerprints, tmp_path)


@pytest.mark.exhaustive
def test_a_preparation_that_is_killed_at_twenty_points_leaves_nothing(source, fingerprints, tmp_path):
    assert {".data.partial", ".data.replaced", ".data.lock"} <= kill_at(20, source, fingerprints, tmp_path)


def place(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_text("left")


def test_what_dead_processes_left_is_removed_and_nothing_else(source, fingerprints, tmp_path):
    place(tmp_path / ".data.partial", "documents.parquet", "queries.parquet")
    place(tmp_path / ".data.replaced", "documents.parquet", "manifest.json")  # its successor is in place
    prepare(source, tmp_path / "data", seed=2)
    place(tmp_path / ".data.replaced", "documents.parquet", "manifest.json")
    place(tmp_path / ".other.partial", "qrels.parquet")
    place(tmp_path / ".other.lock.partial", "no file of ours")
    place(tmp_path / ".empty.partial")
    place(tmp_path / ".alive.partial", "qrels.parquet")
    (tmp_path / ".data.lock").touch()
    with FileLock(tmp_path / ".alive.lock"):
        assert prepare(source, tmp_path / "data", seed=2).fingerprint == fingerprints[1]
        expected = {"data", ".other.lock.partial", ".empty.partial", ".alive.partial", ".alive.lock"}
        assert set(os.listdir(tmp_path)) == expected
    prepare(source, tmp_path / "data", seed=2)
    assert set(os.listdir(tmp_path)) == {"data", ".other.lock.partial", ".empty.partial"}


def test_an_interrupted_replacement_is_undone_by_whoever_reads_or_writes(source, fingerprints, tmp_path):
    """Killed between its two renames, a process leaves both directories beside the place where one should be."""
    for read in (True, False):
        prepare(source, tmp_path / "data", seed=1)
        prepare(source, tmp_path / ".data.partial", seed=2)
        (tmp_path / "data").rename(tmp_path / ".data.replaced")
        if read:
            assert load_prepared(tmp_path / "data").fingerprint == fingerprints[0]
        else:
            restore_directory(tmp_path / "data")
        assert os.listdir(tmp_path) == ["data"]
        prepare(source, tmp_path / ".data.partial", seed=2)
        (tmp_path / "data").rename(tmp_path / ".data.replaced")
        assert prepare(source, tmp_path / "data", seed=2).fingerprint == fingerprints[1]
        assert os.listdir(tmp_path) == ["data"]


def test_one_process_at_a_time(source, tmp_path, monkeypatch):
    monkeypatch.setattr(directories, "_PATIENCE", 0.1)
    with FileLock(tmp_path / ".data.lock"), pytest.raises(DataError, match="another process has been writing to"):
        prepare(source, tmp_path / "data", seed=1)
    monkeypatch.setattr(directories, "_PATIENCE", 60.0)
    inside, most, lock = 0, 0, threading.Lock()

    def write(content):
        nonlocal inside, most
        with replace_directory(tmp_path / "data", lambda path: False) as partial:
            with lock:
                inside += 1
                most = max(most, inside)
            for name in "ab":
                (partial / name).write_text(content)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [str(number) for number in range(40)]))
    assert most == 1
    assert os.listdir(tmp_path) == ["data"]
    assert (tmp_path / "data" / "a").read_text() == (tmp_path / "data" / "b").read_text()


def record(monkeypatch):
    """A list that gets each file or directory as it is flushed and as it is renamed."""
    calls = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def flushed(descriptor):
        calls.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(source, target, real):
        calls.append(("rename", str(target)))
        real(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "rename", lambda source, target: renamed(source, target, rename))
    monkeypatch.setattr(os, "replace", lambda source, target: renamed(source, target, replace))
    return calls


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of open files are those of Linux")


@needs_proc
def test_content_is_on_disk_before_it_gets_its_name(source, tmp_path, monkeypatch):
    for _ in range(2):  # made, then replaced
        calls = record(monkeypatch)
        data = prepare(source, tmp_path / "data", seed=1)
        monkeypatch.undo()
        written = [f"{tmp_path}/.data.partial/{name}" for name in (*data.manifest["files"], "manifest.json")]
        place_taken = calls.index(("rename", f"{tmp_path}/data"))
        flushed = {path for kind, path in calls[:place_taken] if kind == "flush"}
        assert {*written, f"{tmp_path}/.data.partial"} <= flushed
        assert ("flush", str(tmp_path)) in calls[place_taken:]


@needs_proc
def test_a_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls = record(monkeypatch)
    files.write_atomically(tmp_path / "file", b"content")
    (partial,) = {path for kind, path in calls if kind == "flush"} - {str(tmp_path)}
    assert calls == [("flush", partial), ("rename", f"{tmp_path}/file"), ("flush", str(tmp_path))]
    assert (tmp_path / "file").read_bytes() == b"content"
