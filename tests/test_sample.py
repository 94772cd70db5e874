import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sample_measures import (
    MAX_WORDS,
    RETRIEVERS,
    data_of,
    guess,
    intents,
    judgements,
    ndcg,
    pools,
    rows_of,
    scorer,
    shop_of,
    stated,
    translation,
    words,
)

from agents.segments import STOP_WORDS
from agents.segments import phrases as segments_of
from envs_data import SPLITS, DataError
from envs_data.sample import CONTENT_VERSION, KINDS, cache, load_sample, sample_data, tables
from envs_data.sample.shop import EXACT

ROOT = Path(__file__).parents[1]
FULL_RANGE = {"shopping": (3, 10), "fashion": (1, 8)}
SMALL = {"train": 40, "validation": 5, "test": 10}
CONTENT = {"shopping": "", "fashion": ""}
TABLES = ("documents", "queries", "pools", "qrels", "demonstrations")

each_kind = pytest.mark.parametrize("kind", sorted(KINDS))
each_retriever = pytest.mark.parametrize("retriever", RETRIEVERS)


@pytest.fixture
def small(monkeypatch):
    """A sample of 55 queries, for what does not depend on their number."""
    monkeypatch.setattr(tables, "SPLIT_SIZES", SMALL)


def oracle(kind, rows):
    listed = data_of(kind).queries["intent"].to_list()
    return [", ".join(listed[row]) for row in rows]


def gap(kind, retriever, rows, raw, best):
    return ndcg(kind, rows, best, retriever) - ndcg(kind, rows, raw, retriever)


# --- rewriting matters ---------------------------------------------------------------------------------------


@each_kind
@each_retriever
def test_the_oracle_beats_the_raw_query_by_far(kind, retriever):
    rows = rows_of(data_of(kind), "test")
    raw = [data_of(kind).queries["query"][row] for row in rows]
    assert gap(kind, retriever, rows, raw, oracle(kind, rows)) >= 0.3
    assert ndcg(kind, rows, oracle(kind, rows), retriever) >= {"bm25": 0.7, "lsa": 0.55}[retriever]
    assert 0.08 <= ndcg(kind, rows, raw, retriever) <= 0.3


@each_kind
@each_retriever
def test_the_gap_is_the_intents_doing(kind, retriever):
    """The negative controls: other queries' intents, and queries that already are in catalogue words."""
    rows = rows_of(data_of(kind), "test")
    raw = [data_of(kind).queries["query"][row] for row in rows]
    others = oracle(kind, rows[1:] + rows[:1])
    assert gap(kind, retriever, rows, raw, others) < 0.0
    assert gap(kind, retriever, rows, [text.replace(",", "") for text in oracle(kind, rows)], oracle(kind, rows)) < 0.3


@each_kind
@each_retriever
def test_there_is_room_above_the_demonstrations(kind, retriever):
    """What can be guessed beats what is shown by far, and stays below what is meant."""
    data = data_of(kind)
    numbers = {query_id: row for row, query_id in enumerate(data.queries["query_id"])}
    shown = data.demonstrations[:600]
    demonstrated = ndcg(kind, [numbers[q] for q in shown["query_id"]], shown["text"].to_list(), retriever)
    rows = rows_of(data, "test")
    guessed = ndcg(kind, rows, [", ".join(guess(kind, row)) for row in rows], retriever)
    translated = ndcg(kind, rows, [", ".join(translation(kind, row)) for row in rows], retriever)
    assert 0.3 <= demonstrated <= 0.5
    assert guessed >= demonstrated + 0.1
    assert guessed >= translated + 0.1
    assert ndcg(kind, rows, oracle(kind, rows), retriever) >= guessed + 0.1


@each_kind
def test_stuffing_does_not_pay(kind):
    """All values of an attribute say nothing of a need, alone or after what the query states."""
    rows = rows_of(data_of(kind), "test")
    plain = ndcg(kind, rows, [", ".join(translation(kind, row)) for row in rows], "bm25")
    for place, attribute in enumerate(shop_of(kind).attributes):
        siblings = [attribute.siblings[value] for value in intents(kind)[rows, place]]
        stuffing = [", ".join(attribute.terms[value].phrase for value in family) for family in siblings]
        assert ndcg(kind, rows, stuffing, "bm25") < 0.15, attribute.name
        if place:
            stuffed = [", ".join([*translation(kind, row), text]) for row, text in zip(rows, stuffing, strict=True)]
            assert ndcg(kind, rows, stuffed, "bm25") <= plain + 0.03, attribute.name


@each_kind
def test_the_unstated_can_be_guessed_but_not_surely(kind):
    rows = rows_of(data_of(kind), "test")
    hidden = ~stated(kind)[rows]
    guessed = [guess(kind, row) for row in rows]
    meant = data_of(kind).queries["intent"].to_list()
    right = np.array([[a == b for a, b in zip(guessed[i], meant[row], strict=True)] for i, row in enumerate(rows)])
    others = np.array([[a == b for a, b in zip(guessed[i - 1], meant[row], strict=True)] for i, row in enumerate(rows)])
    assert 0.5 <= right[hidden].mean() <= 0.85
    assert others[hidden].mean() <= 0.35


# --- layout --------------------------------------------------------------------------------------------------


@each_kind
def test_sizes_names_and_splits(kind):
    data = data_of(kind)
    assert data.manifest["dataset"] == f"sample-{kind}"
    assert data.synthetic
    assert data.documents.height == 3000
    assert {split: len(rows_of(data, split)) for split in SPLITS} == tables.SPLIT_SIZES
    assert (data.queries["intent"].list.len() == 6).all()
    lengths = data.queries["history"].list.len()
    assert lengths.is_between(3, 8).all() if kind == "fashion" else (lengths == 0).all()
    assert all(set(history) <= set(data.documents["title"]) for history in data.queries["history"])


@each_kind
def test_pools_hold_all_that_is_judged_and_three_kinds_of_negatives(kind):
    least, most = FULL_RANGE[kind]
    types = shop_of(kind).values[:, 0]
    for row, (gain, pool) in enumerate(zip(judgements(kind), pools(kind), strict=True)):
        n_full = sum(value == EXACT for value in gain.values())
        assert least <= n_full <= most
        assert set(gain.values()) <= {1.0, 0.1, 0.01, 0.0}
        assert len(pool) == tables.POOL_SIZE
        assert (np.diff(pool) > 0).all()
        assert set(gain) <= set(pool.tolist())
        negatives = np.array([document for document in pool if document not in gain])
        assert (types[negatives] == intents(kind)[row, 0]).mean() >= 0.45


@each_kind
def test_judgements_follow_the_documents(kind):
    """Gains recomputed from the texts: a document of full gain has all that is stated and at most one other value."""
    texts, listed = data_of(kind).documents["text"], data_of(kind).queries["intent"].to_list()
    for row in rows_of(data_of(kind), "test")[:60]:
        for document, gain in judgements(kind)[row].items():
            has = np.array([re.search(rf"\b{phrase}\b", texts[document]) is not None for phrase in listed[row]])
            if gain == EXACT:
                assert has[stated(kind)[row]].all()
                assert (~has).sum() <= 1
            elif gain == 0.0:
                assert has[0]
                assert (~has).sum() >= 3


@each_kind
def test_what_a_query_says_stands_in_one_split(kind):
    queries = data_of(kind).queries
    prompts = queries.select("query", pl.col("history").list.join("; "))
    assert prompts.is_unique().all()
    listed, train = [tuple(intent) for intent in queries["intent"].to_list()], rows_of(data_of(kind), "train")
    test = rows_of(data_of(kind), "test")
    seen = {listed[row] for row in train}
    assert np.mean([listed[row] in seen for row in test]) <= 0.65
    bags = [frozenset(words(" ".join(prompt))) for prompt in prompts.iter_rows()]
    nearest = [max(len(bags[row] & bags[other]) / len(bags[row] | bags[other]) for other in train) for row in test]
    assert np.mean(np.array(nearest) >= 0.8) <= 0.1
    if kind == "shopping":
        said = [tuple(np.where(known, values, -1)) for known, values in zip(stated(kind), intents(kind), strict=True)]
        assert not {said[row] for row in train} & {said[row] for row in test}


@each_kind
def test_demonstrations_are_noisy_and_depend_on_their_query(kind):
    data = data_of(kind)
    meant = dict(data.queries.select("query_id", "intent").iter_rows())
    count = data.demonstrations.group_by("query_id").len()
    assert set(count["query_id"]) == set(data.queries.filter(pl.col("split") == "train")["query_id"])
    assert count["len"].is_between(1, 2).all()
    shown = [(meant[query_id], text.split(", ")) for query_id, text in data.demonstrations.iter_rows()]
    kept = np.mean([phrase in said for intent, said in shown for phrase in intent])
    of_others = np.mean([phrase in shown[place - 1][1] for place, (intent, _) in enumerate(shown) for phrase in intent])
    assert 0.5 <= kept <= 0.65
    assert of_others <= 0.3
    assert np.mean([intent.index(said[0]) == 0 for intent, said in shown if said[0] in intent]) < 0.9
    assert max(len(words(text)) for text in data.demonstrations["text"]) <= 16


# --- vocabulary ----------------------------------------------------------------------------------------------


@each_kind
def test_the_vocabulary_is_closed_and_small(kind):
    data = data_of(kind)
    texts = [*data.queries["query"], *data.demonstrations["text"], *data.queries["history"].explode().drop_nulls()]
    texts += data.queries["intent"].explode().to_list()
    assert len({word for text in texts for word in words(text)}) < 1500
    known = {word for attribute in shop_of(kind).attributes for term in attribute.terms for word in words(term.phrase)}
    assert {word for text in data.demonstrations["text"] for word in words(text)} <= known


@each_kind
def test_intents_are_segments(kind):
    """A phrase of the intent is a segment of the oracle rewrite, which the word cap never cuts."""
    for intent in data_of(kind).queries["intent"].to_list():
        text = ", ".join(intent)
        assert [text[a:b].strip(" ,") for a, b in segments_of(text)] == intent
        assert len(words(text)) <= min(MAX_WORDS.values())
        assert not set(words(text)) & STOP_WORDS


@each_kind
def test_everyday_words_are_not_the_catalogues(kind):
    said, catalogue = set(), set()
    for attribute in shop_of(kind).attributes:
        assert len(set(attribute.phrases)) == len(attribute.phrases)
        for term in attribute.terms:
            assert 1 <= len(term.phrase.split()) <= 3
            everyday = {word for wording in term.everyday for word in words(wording)}
            assert not everyday & set(words(term.phrase)), term
            said |= everyday
            catalogue |= set(words(term.phrase))
    assert len(said & catalogue) <= 0.12 * len(said)


# --- determinism ---------------------------------------------------------------------------------------------


@each_kind
def test_the_content_is_the_pinned_one(kind):
    """A change of content needs a new CONTENT_VERSION, or users go on reading their old copy."""
    rows = [getattr(data_of(kind), name).rows() for name in TABLES]
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
    assert not first.documents.equals(second.documents)
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


# --- cache ---------------------------------------------------------------------------------------------------


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
        assert getattr(first, name).equals(getattr(second, name))
    (path,) = (entry for entry in directory.iterdir() if entry.is_dir())
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
    (path,) = (entry for entry in directory.iterdir() if entry.is_dir())
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
    assert len([entry for entry in directory.iterdir() if entry.is_dir()]) == 2


def test_a_place_that_cannot_be_used_is_named(cached, tmp_path, monkeypatch):
    directory, _ = cached
    load_sample("shopping")
    (path,) = (entry for entry in directory.iterdir() if entry.is_dir())
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


# --- the gap needs everyday queries ---------------------------------------------------------------------------


def test_a_shop_with_catalogue_queries_has_no_gap(small):
    """The negative control of the sample itself: where shoppers speak as the catalogue, nothing is to be rewritten."""
    shop = shop_of("shopping")

    def tell(values, known, rng):
        return " ".join(
            attribute.terms[value].phrase for attribute, value in zip(shop.attributes, values, strict=True)
        ), []

    found, _ = tables.shop_tables(dataclasses.replace(shop, tell=tell), 0, "literal")
    score = scorer("shopping", "bm25")
    queries, best = found["queries"]["query"].to_list(), found["queries"]["intent"].list.join(", ").to_list()
    assert np.array_equal(score(queries), score(best))
