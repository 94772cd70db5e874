"""Arrays of indexes on disk: built once whoever asks, never half there, never silently other than what was built."""

import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ospo_env.errors import RetrieverError
from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.storage import stored_arrays
from paths import ROOT


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path))
    return tmp_path / "indexes-2"


def write(directory):
    np.save(directory / "rows.npy", np.arange(6, dtype=np.int32).reshape(2, 3))
    with ArrayFile(directory / "big.npy", np.float64) as big:
        big.append(np.full(100, 0.5))
    np.save(directory / "none.npy", np.empty((0, 4), dtype=np.float32))


def anything(arrays):
    """Every array fits."""


def never(directory):
    raise AssertionError("built twice")


def test_what_was_built_is_mapped_and_read_only(cache):
    built = stored_arrays("kind-0a", write, check=anything, label="an index")
    opened = stored_arrays("kind-0a", never, check=anything, label="an index")
    for arrays in (built, opened):
        assert sorted(arrays) == ["big", "none", "rows"]
        assert arrays["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert arrays["none"].shape == (0, 4)
        assert arrays["none"].dtype == np.float32
        assert isinstance(arrays["big"].base, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            arrays["big"][0] = 1.0
    assert sorted(path.name for path in cache.iterdir()) == [".kind-0a.lock", "kind-0a"]


def test_keys_do_not_share_and_must_name_a_directory(cache):
    stored_arrays("kind-0a", write, check=anything, label="an index")
    other = stored_arrays("kind-0b", lambda path: np.save(path / "x.npy", np.ones(1)), check=anything, label="another")
    assert list(other) == ["x"]
    for key in ("", "..", ".hidden", "a/b", "/a", "a\0"):
        with pytest.raises(ValueError, match="expected a key"):
            stored_arrays(key, never, check=anything, label="none")


def test_pickled_as_the_place_where_they_lie(cache, monkeypatch):
    stored = stored_arrays("kind-0a", write, check=anything, label="an index")
    content = pickle.dumps({"a retriever": stored})
    assert len(content) < stored["big"].nbytes
    monkeypatch.setenv("OSPO_CACHE_DIR", "/elsewhere")
    (opened,) = pickle.loads(content).values()
    assert isinstance(opened["rows"].base, np.memmap)
    assert {name: array.tolist() for name, array in opened.items()} == {n: a.tolist() for n, a in stored.items()}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def change_type(path):
    path.write_bytes(path.read_bytes().replace(b"<f8", b"<i8"))


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("big.npy", truncate, "big.npy does not have the digest"),
        ("big.npy", change_type, "big.npy does not have the digest"),
        ("rows.npy", Path.unlink, "FileNotFoundError"),
        ("index.json", Path.unlink, "FileNotFoundError"),
        ("index.json", truncate, None),
        ("index.json", lambda path: path.write_text("{"), "JSONDecodeError"),
        ("index.json", lambda path: path.write_text('{"arrays": {"rows": {"shape": 1}}}'), "KeyError"),
        ("index.json", lambda path: path.write_text("[]"), "TypeError"),
    ],
)
def test_a_damaged_index_is_named_and_not_built_over(cache, file, damage, reason):
    stored_arrays("kind-0a", write, check=anything, label="an index")
    damage(cache / "kind-0a" / file)
    if reason is None:  # the last newline says nothing
        assert stored_arrays("kind-0a", never, check=anything, label="an index")
        return
    with pytest.raises(RetrieverError, match=re.escape(reason)) as caught:
        stored_arrays("kind-0a", never, check=anything, label="an index")
    assert f"{cache / 'kind-0a'} is not what was built" in str(caught.value)
    assert "remove that directory" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_build_that_fails_leaves_nothing(cache):
    def failing(directory):
        write(directory)
        raise ZeroDivisionError("half way")

    with pytest.raises(ZeroDivisionError, match="half way"):
        stored_arrays("kind-0a", failing, check=anything, label="an index")
    assert [path.name for path in cache.iterdir()] == [".kind-0a.lock"]
    assert "rows" in stored_arrays("kind-0a", write, check=anything, label="an index")


def test_a_build_that_writes_something_else_is_refused(cache):
    with pytest.raises(ValueError, match="pickle"):
        stored_arrays("kind-0a", lambda path: (path / "a.txt").write_text("no array"), check=anything, label="an index")
    assert not (cache / "kind-0a").exists()


def test_a_place_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(RetrieverError, match=r"cannot keep an index at .*OSPO_CACHE_DIR") as caught:
        stored_arrays("kind-0a", never, check=anything, label="an index")
    assert "\n" not in str(caught.value)


PROGRAM = """
import sys, time
import numpy as np
from ospo_env.retrievers.storage import stored_arrays
built = []
def build(directory):
    np.save(directory / "left.npy", np.zeros(3))
    print("building", flush=True)
    time.sleep(float(sys.argv[1]))
    np.save(directory / "rows.npy", np.arange(5))
    built.append(1)
print(stored_arrays(sys.argv[2], build, check=dict, label="an index")["rows"].sum(), len(built))
"""


def start(cache, seconds, key="kind-0a"):
    environment = {"OSPO_CACHE_DIR": str(cache.parent), "PATH": ""}
    command = [sys.executable, "-c", PROGRAM, str(seconds), key]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def test_several_processes_build_one(cache):
    said = [process.communicate(timeout=60)[0].split("\n") for process in [start(cache, 0.5) for _ in range(3)]]
    assert sorted(lines[-2] for lines in said) == ["10 0", "10 0", "10 1"]


def test_a_killed_build_leaves_nothing_that_counts(cache):
    killed = start(cache, 60)
    assert killed.stdout.readline() == "building\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    killed.stdout.close()
    assert not (cache / "kind-0a").exists()
    # not held up by the dead process's lock
    assert "rows" in stored_arrays("kind-0a", write, check=anything, label="an index")
    assert sorted(path.name for path in cache.iterdir()) == [".kind-0a.lock", "kind-0a"]


def test_any_build_removes_what_a_killed_one_left_and_nothing_else(cache):
    killed, living = start(cache, 60), start(cache, 4, "kind-0c")
    for process in (killed, living):
        assert process.stdout.readline() == "building\n"
    killed.kill()
    killed.wait(timeout=60)
    killed.stdout.close()
    assert (cache / ".kind-0a.partial").is_dir()
    stored_arrays("kind-0b", write, check=anything, label="an index")
    assert not (cache / ".kind-0a.partial").exists()
    assert living.communicate(timeout=60)[0].split("\n")[-2] == "10 1"  # whose files were left alone
    assert sorted(path.name for path in cache.iterdir() if "lock" not in path.name) == ["kind-0b", "kind-0c"]


@pytest.mark.parametrize("sizes", [[], [0], [3, 0, 9, 100_000]])
def test_an_array_that_grows(tmp_path, sizes):
    parts = [np.arange(size) - 2 for size in sizes]
    with ArrayFile(tmp_path / "grown.npy", np.int32) as file:
        for part in parts:
            file.append(part)
    found = np.load(tmp_path / "grown.npy", mmap_mode="r")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.concatenate([np.empty(0, dtype=np.int64), *parts]))


def test_an_array_of_rows(tmp_path):
    rows = np.arange(12).reshape(4, 3) / 2
    with ArrayFile(tmp_path / "rows.npy", np.float32, 3, rows=9) as file:  # more room than is needed
        file.append(rows[:1])
        file.append(rows[1:1])
        file.append(rows[1:])
    found = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows)
    assert (tmp_path / "rows.npy").stat().st_size == 128 + rows.size * 4


FULL_DISK = """
import sys
import numpy as np
from ospo_env.errors import RetrieverError
from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.storage import stored_arrays

def build(directory):
    if sys.argv[1] == "mapped":  # the negative control
        np.lib.format.open_memmap(directory / "x.npy", mode="w+", dtype=np.float32, shape=(1000, 256))[:] = 1
    with ArrayFile(directory / "x.npy", np.float32, 256, rows=1000 * (sys.argv[1] == "reserved")) as file:
        print("begun", flush=True)
        for _ in range(1000):
            file.append(np.ones((1, 256), dtype=np.float32))

try:
    stored_arrays("kind-0a", build, check=dict, label="vectors")
except RetrieverError as error:
    print(error)
"""


def on_a_small_disk(cache, how):
    """The program above, where its cache has 256 KiB: a file system of its own, in a namespace of its own."""
    script = 'mount -t tmpfs -o size=256k tmpfs "$OSPO_CACHE_DIR" && exec "$0" -c "$PROGRAM" "$1"'
    environment = {
        "OSPO_CACHE_DIR": str(cache),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PROGRAM": FULL_DISK,
    }
    command = ["unshare", "-rm", "sh", "-c", script, sys.executable, how]
    environment["PROGRAM"] = FULL_DISK
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def can_mount():
    try:
        command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_mount(), reason="needs a file system of its own, which this system does not allow")
@pytest.mark.parametrize(("how", "begun"), [("reserved", False), ("appended", True)])
def test_a_full_disk_is_an_error(tmp_path, how, begun):
    finished = on_a_small_disk(tmp_path, how)
    assert finished.returncode == 0, finished.stderr
    assert ("begun" in finished.stdout) is begun
    assert re.search("cannot keep vectors at .* No space left on device.*make room there", finished.stdout)


@pytest.mark.skipif(not can_mount(), reason="needs a file system of its own, which this system does not allow")
def test_a_full_disk_kills_who_writes_to_a_mapping(tmp_path):
    """The negative control: the disk of the test above is as full as that."""
    assert on_a_small_disk(tmp_path, "mapped").returncode == -signal.SIGBUS
