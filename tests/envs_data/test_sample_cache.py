"""The embedded sample is the same everywhere, and its cached copy is whole or made again."""

import hashlib
import json
import re
import subprocess
import sys

import pytest

from envs_data import DataError
from envs_data.sample import CONTENT_VERSION, KINDS, cache, load_sample, sample_data, tables
from official_files import table
from paths import ROOT
from sample_measures import data_of

SMALL = {"train": 40, "validation": 5, "test": 10}
CONTENT = {
    "shopping": "24e8e76b2a366afa5d8c9ab29afd10437afd368df0b42c160acc55dd3bc02d3f",
    "fashion": "348a28a5fab46a936be364284169851d333fc4d76dfe7640498a531fe8f97d28",
}
TABLES = ("documents", "queries", "pools", "qrels", "demonstrations")

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))


@pytest.fixture
def small(monkeypatch):
    """A sample of 55 queries, for what does not depend on their number."""
    monkeypatch.setattr(tables, "SPLIT_SIZES", SMALL)


@each_kind
def test_the_content_is_the_pinned_one(kind):
    """A change of content needs a new CONTENT_VERSION, or users go on reading their old copy."""
    rows = [table(data_of(kind), name).rows() for name in TABLES]
    digest = hashlib.sha256(json.dumps([CONTENT_VERSION, rows]).encode()).hexdigest()
    assert digest == CONTENT[kind], "raise CONTENT_VERSION and pin this digest"


def test_another_process_generates_the_same_bytes(small):
    program = (
        f"from envs_data.sample import tables, sample_data; tables.SPLIT_SIZES = {SMALL}\n"
        "print(*(sample_data(kind).fingerprint for kind in ('fashion', 'shopping')))"
    )
    environment = {"PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert done.stdout.split() == [sample_data(kind).fingerprint for kind in ("fashion", "shopping")]


def test_seeds_and_kinds_differ(small):
    fingerprints = {sample_data("shopping", seed).fingerprint for seed in (0, 1)}
    assert len(fingerprints | {sample_data("fashion").fingerprint}) == 3
    first, second = sample_data("shopping", 0), sample_data("shopping", 1)
    assert not first.documents.frame.equals(second.documents.frame)
    assert not first.queries.equals(second.queries)


@pytest.mark.parametrize(
    ("kind", "seed", "message"),
    [
        ("shoping", 0, "unknown sample 'shoping'; did you mean 'shopping'"),
        ("fashion", -1, "seed must be a whole number"),
        ("fashion", 1.5, "seed must be a whole number"),
    ],
)
def test_wrong_arguments(kind, seed, message):
    with pytest.raises(DataError, match=message):
        sample_data(kind, seed)


@pytest.fixture
def cached(small, tmp_path, monkeypatch):
    """A cache directory of this test, and how often the sample was written."""
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "cache"))
    written = []
    write = cache._write
    monkeypatch.setattr(cache, "_write", lambda *args: written.append(args) or write(*args))
    return tmp_path / "cache", written


def test_the_sample_is_generated_once(cached):
    directory, written = cached
    first, second = load_sample("shopping"), load_sample("shopping")
    assert len(written) == 1
    assert first.fingerprint == second.fingerprint == sample_data("shopping").fingerprint
    for name in TABLES:
        assert table(first, name).equals(table(second, name))
    (path,) = directory.glob("sample-*[0-9]")
    assert path.name.startswith(f"sample-shopping-v{CONTENT_VERSION}.")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "qrels.parquet").write_bytes(b"PAR1"),
        lambda path: (path / "pools.parquet").unlink(),
        lambda path: (path / "manifest.json").write_text("{"),
        lambda path: (path / "manifest.json").write_text('{"files": 3}'),
        lambda path: (path / "manifest.json").unlink(),
    ],
)
def test_a_damaged_copy_is_generated_again(cached, damage):
    directory, written = cached
    whole = load_sample("fashion").fingerprint
    (path,) = directory.glob("sample-*[0-9]")
    damage(path)
    assert load_sample("fashion").fingerprint == whole
    assert len(written) == 2
    assert load_sample("fashion").fingerprint == whole
    assert len(written) == 2


def test_an_old_version_is_left_alone(cached, monkeypatch):
    directory, written = cached
    load_sample("shopping")
    monkeypatch.setattr(cache, "CONTENT_VERSION", CONTENT_VERSION + 1)
    load_sample("shopping")
    assert len(written) == 2
    assert len(list(directory.glob("sample-*[0-9]"))) == 2


def test_a_place_that_cannot_be_used_is_named(cached, tmp_path, monkeypatch):
    directory, _ = cached
    load_sample("shopping")
    (path,) = directory.glob("sample-*[0-9]")
    path.rename(tmp_path / "elsewhere")
    path.write_text("not a directory")
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        load_sample("shopping")
    assert "delete it" in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OSPO_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DataError, match="OSPO_CACHE_DIR"):
        load_sample("shopping")


def test_several_processes_generate_one_copy(tmp_path):
    program = (
        "from envs_data.sample import cache, tables\n"
        f"tables.SPLIT_SIZES = {SMALL}\n"
        "write, written = cache._write, []\n"
        "cache._write = lambda *args: written.append(1) or write(*args)\n"
        "print(cache.load_sample('shopping').fingerprint, len(written))"
    )
    environment = {"OSPO_CACHE_DIR": str(tmp_path), "POLARS_MAX_THREADS": "1", "PATH": ""}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert len({fingerprint for fingerprint, _ in said}) == 1
    assert sorted(count for _, count in said) == ["0", "0", "1"]
