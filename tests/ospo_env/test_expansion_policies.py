"""References without a model: constant, association and spelling, against values computed another way."""

import math
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from envs_data import write_prepared
from envs_data.assembly.spelling import correction
from ospo_env import RetrievalTask, TaskError, make_reference_policy
from ospo_env.evaluation.association import task_associations
from ospo_env.evaluation.constant import choose_constant
from ospo_env.evaluation.expansion import corpus_words, expanded, fixed_sample, training_gains
from ospo_env.text import token_spans, tokens
from paths import SHARED_DATA

NAMES = ["constant", "association", "spelling"]
MODES = [
    {},
    {"compose": "append"},
    {"compose": "append", "query_weight": 3, "repeats": "once"},
    {"repeats": "once", "candidates": "corpus"},
]
KINDS = {"sofa": "couch velvet", "lamp": "light brass", "mat": "rug jute"}
SPLITS = ("train", "train", "train", "validation", "test")


def tables():
    """A shop where people say sofa, lamp and mat, and documents say couch, light and rug; one query is misspelt."""
    documents, queries, qrels, pools = [], [], [], []
    for number in range(60):
        kind = list(KINDS)[number % 3]
        documents.append((f"d{number}", "", f"{KINDS[kind]} number{number % 7} item red{'s' * (number % 2)}"))
    for number in range(30):
        kind = list(KINDS)[number % 3]
        split = SPLITS[number % 5]
        word = "brss" if number == 4 else ("sofas" if number == 9 else kind)
        more = f" number{number % 7}" if number % 4 == 0 else ""
        queries.append((f"q{number:02d}", split, f"{word} please{more}", [], []))
        wanted = [row for row in range(60) if row % 3 == number % 3 and row % 2 == number % 2]
        qrels += [(f"q{number:02d}", row, 1.0 if row % 4 < 2 else 0.5) for row in wanted[:6]]
        qrels.append((f"q{number:02d}", (number % 3 + 1) % 3, 0.0))
        pools.append((f"q{number:02d}", list(range(60))))
    row = {"orient": "row"}
    return {
        "documents": pl.DataFrame(documents, schema=["doc_id", "title", "text"], **row),
        "queries": pl.DataFrame(
            queries,
            schema={"query_id": str, "split": str, "query": str, "history": pl.List(str), "intent": pl.List(str)},
            **row,
        ),
        "pools": pl.DataFrame(pools, schema=["query_id", "doc_rows"], **row),
        "qrels": pl.DataFrame(qrels, schema=["query_id", "doc_row", "gain"], **row),
        "demonstrations": pl.DataFrame([("q00", "couch")], schema=["query_id", "text"], **row),
    }


def stored(path, **changed):
    content = {**tables(), **changed}
    return write_prepared(path, content, dataset="own", synthetic=True, arguments={}, sources={}, counts={})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("expansion") / "data")


def write(name, task, split="test"):
    ids, prompts = task.prompts(split)
    return make_reference_policy(name, task)(ids, prompts)


# What is read


def shuffled(qrels, queries, split):
    """The same judgements, those of a split handed to other documents."""
    of_split = pl.col("query_id").is_in(queries.filter(pl.col("split") == split)["query_id"].implode())
    moved = qrels.filter(of_split).with_columns(doc_row=(pl.col("doc_row") + 31) % 60)
    return pl.concat([qrels.filter(~of_split), moved])


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_judgements_of_test_queries_change_nothing(name, modes, data, tmp_path):
    changed = stored(tmp_path / "data", qrels=shuffled(data.qrels, data.queries, "test"))
    assert changed.qrels.sort("query_id", "doc_row").equals(data.qrels.sort("query_id", "doc_row")) is False
    for split in ("train", "validation", "test"):
        assert write(name, RetrievalTask(changed, **modes), split) == write(name, RetrievalTask(data, **modes), split)


@pytest.mark.parametrize(
    ("name", "splits"), [("constant", {"train"}), ("association", {"train", "validation"}), ("spelling", set())]
)
def test_the_judgements_that_each_reads(name, splits, data, tmp_path):
    """The negative control of the test above: judgements that a policy does read change its texts."""
    before = write(name, RetrievalTask(data, compose="append"))
    for split in ("train", "validation", "test"):
        if split == "validation":  # nothing that is said helps there any more
            ids = data.queries.filter(pl.col("split") == split)["query_id"]
            of_split = pl.col("query_id").is_in(ids.implode())
            plain = pl.DataFrame({"query_id": ids, "doc_row": [1] * len(ids), "gain": [1.0] * len(ids)})
            qrels = pl.concat([data.qrels.filter(~of_split), plain.cast(data.qrels.schema)])
        else:
            qrels = shuffled(data.qrels, data.queries, split)
        changed = stored(tmp_path / split, qrels=qrels)
        assert (write(name, RetrievalTask(changed, compose="append")) != before) == (split in splits), split


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_the_same_each_time(name, data):
    assert write(name, RetrievalTask(data)) == write(name, RetrievalTask(data))


def test_shares_of_gains_are_of_training_queries(data):
    ids, shares = training_gains(RetrievalTask(data))
    own = dict(data.queries.select("query_id", "split").iter_rows())
    assert ids == [key for key in data.queries["query_id"] if own[key] == "train"]
    for row, key in enumerate(ids):
        gains = {doc: gain for query, doc, gain in data.qrels.iter_rows() if query == key and gain > 0}
        total = sum(gains.values())
        dense = shares[row].toarray().ravel()
        assert {doc: dense[doc] for doc in np.flatnonzero(dense)} == pytest.approx(
            {doc: gain / total for doc, gain in gains.items()}
        )


def test_words_and_their_documents(data):
    words, holds, frequency = corpus_words(RetrievalTask(data))
    texts = [set(tokens(text)) for text in data.documents["text"]]
    counted = Counter(word for text in texts for word in text)
    assert dict(zip(words, frequency.tolist(), strict=True)) == counted
    assert [{words[term] for term in holds[row].indices} for row in range(60)] == texts
    assert set(holds.data.tolist()) == {1.0}


# Constant


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
def test_the_constant_is_the_best_single_word(data, retriever, modes):
    """All 24 words of the corpus that hold no digit are candidates; one is found by trying each on training queries."""
    task = RetrievalTask(data, retriever, **modes)
    ids, _ = task.prompts("train")
    vocabulary = sorted({word for text in data.documents["text"] for word in tokens(text) if word.isalpha()})
    front = "" if modes.get("compose") == "append" else "{} "

    def rewards(*words):
        return task.rewards(ids, [(front.format(task.query(key).query) + " ".join(words)).strip() for key in ids])

    chosen = choose_constant(task, words=1)
    raw, tried = rewards(), {word: rewards(word) for word in vocabulary}
    best = max(values.mean() for values in tried.values())
    difference = max(tried.values(), key=np.mean) - raw
    if difference.mean() > difference.std() / math.sqrt(len(ids)):
        assert len(chosen) == 1
        assert tried[chosen[0]].mean() == pytest.approx(best, abs=1e-12)
    else:
        assert chosen == []
    longer = choose_constant(task)
    assert longer[:1] == chosen
    assert rewards(*longer).mean() >= rewards(*chosen).mean()
    assert write("constant", task) == [expanded(task, key, longer) for key in task.prompts("test")[0]]


def test_a_constant_that_helps_is_found(tmp_path):
    """All training queries want documents with one word that none of them says."""
    wanted = [row for row in range(60) if row % 3 == 0]
    qrels = pl.DataFrame(
        [(key, row, 1.0) for key in tables()["queries"]["query_id"] for row in wanted[:10]],
        schema=["query_id", "doc_row", "gain"], orient="row",
    )  # fmt: skip
    task = RetrievalTask(stored(tmp_path / "data", qrels=qrels), compose="append")
    assert choose_constant(task, words=1)[0] in ("couch", "velvet")
    ids, _ = task.prompts("test")
    assert task.rewards(ids, write("constant", task)).mean() > task.rewards(ids, [""] * len(ids)).mean() + 0.2


# Association


def by_definition(data, query):
    """Shares of associated words, from the definition and without a matrix."""
    texts = [set(tokens(text)) for text in data.documents["text"]]
    own = {word.rstrip("s") for word in tokens(query)}
    gains = defaultdict(dict)
    train = set(data.queries.filter(pl.col("split") == "train")["query_id"])
    for key, row, gain in data.qrels.iter_rows():
        if key in train and gain > 0:
            gains[key][row] = gain
    said = {
        key: {word.rstrip("s") for word in tokens(text)}
        for key, text in data.queries.select("query_id", "query").iter_rows()
        if key in gains
    }
    weighted, total = Counter(), 0.0
    for word in own:
        with_it = [key for key in said if word in said[key]]
        if not with_it:
            continue
        weight = math.log(len(said) / len(with_it))
        total += weight
        for key in with_it:
            for row, gain in gains[key].items():
                for other in texts[row]:
                    weighted[other] += weight * gain / sum(gains[key].values()) / (len(with_it) + 2)
    corpus = Counter(word for text in texts for word in text)
    shares = {word: value / total for word, value in weighted.items()} if total else {}
    background = {word: (corpus[word] + 1) / (len(texts) + 1) for word in shares}
    taken = {
        word: round(share * math.log(share / background[word]), 12)
        for word, share in shares.items()
        if word.isalpha() and len(word) > 1 and share > background[word] and word.rstrip("s") not in own
    }
    return [(word, shares[word]) for word in sorted(taken, key=lambda word: (-taken[word], word))]


@pytest.mark.parametrize("query", ["sofa number4", "sofas", "lamp mat", "unheard of", "", "please", "couch lamp"])
def test_associated_words_are_those_of_the_definition(data, query):
    words = task_associations(RetrievalTask(data)).words(tokens(query))
    right = by_definition(data, query)
    assert list(words) == [word for word, _ in right]
    np.testing.assert_allclose(list(words.values()), [share for _, share in right], rtol=1e-12)
    assert bool(words) == (query not in ("unheard of", "", "please")), "all training queries say please"


def test_what_people_say_brings_what_documents_say(data):
    words = task_associations(RetrievalTask(data)).words
    assert {*list(words(["sofa"]))[:2]} == {"couch", "velvet"}
    assert {*list(words(["lamp"]))[:2]} == {"light", "brass"}
    assert list(words(["sofas"])) == list(words(["sofa"]))


@pytest.mark.parametrize("modes", MODES)
def test_number_and_threshold_are_the_best_on_validation(data, modes):
    task = RetrievalTask(data, **modes)
    ids, _ = task.prompts("validation")
    associations = task_associations(task)

    def texts(count, threshold, keys):
        words = [associations.words(tokens(task.query(key).query)).items() for key in keys]
        kept = [[word for word, share in shares if share > threshold][:count] for shares in words]
        return [expanded(task, key, own) for key, own in zip(keys, kept, strict=True)]

    settings = [(0, 0.0), *((count, least) for count in (1, 2, 4, 8, 16) for least in (0.0, 0.1, 0.3))]
    means = {setting: task.rewards(ids, texts(*setting, ids)).mean() for setting in settings}
    best = max(means.values())
    first = next(setting for setting in settings if means[setting] == best)
    assert first[0] > 0, "associations help here"
    written = write("association", task)
    test = task.prompts("test")[0]
    assert written == texts(*first, test)
    raw = make_reference_policy("query", task)(test, [""] * len(test))
    assert task.rewards(test, written).mean() > task.rewards(test, raw).mean() + 0.1


def test_data_without_queries_to_choose_by_are_an_error(data, tmp_path):
    none = {}
    for split in ("train", "validation"):
        queries = data.queries.with_columns(split=pl.col("split").replace(split, "test"))
        demonstrations = data.demonstrations.filter(pl.lit(split != "train"))
        none[split] = stored(tmp_path / split, queries=queries, demonstrations=demonstrations)
    with pytest.raises(TaskError, match="expected validation queries to choose by; the data have none"):
        write("association", RetrievalTask(none["validation"]))
    write("constant", RetrievalTask(none["validation"]))
    for name in ("association", "constant"):
        with pytest.raises(TaskError, match=r"expected train(ing)? queries"):
            write(name, RetrievalTask(none["train"]))


# Spelling


def distance(one, other):
    """Edits between two words: a letter left out, added or changed, or two neighbours swapped (Damerau, restricted)."""
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    table[:, 0], table[0, :] = range(len(one) + 1), range(len(other) + 1)
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            change = table[i - 1, j - 1] + (one[i - 1] != other[j - 1])
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, change)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[-1, -1]


def test_corrections_are_the_nearest_by_the_table_of_distances():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcde"), size=rng.integers(3, 6))) for _ in range(150)]
    frequency = {word: int(rng.integers(1, 5)) for word in words}
    corrected = 0
    for _ in range(300):
        word = "".join(rng.choice(list("abcde"), size=rng.integers(3, 7)))
        near = [other for other in frequency if distance(word, other) == 1 and frequency[other] >= 2]
        right = min(near, key=lambda other: (-frequency[other], other), default=None)
        if word in frequency or len(word) < 4:
            right = None
        assert correction(word, frequency, "abcde") == right
        corrected += right is not None
    assert corrected > 50


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("fauct", "faucet"), ("fauceet", "faucet"), ("faucit", "faucet"), ("fuacet", "faucet"), ("faucet", None),
        ("fautec", None), ("fau", None), ("fauc3t", None), ("sliper", "slipper"), ("tpi", None), ("größ", "größe"),
    ],
)  # fmt: skip
def test_corrections_by_hand(word, right):
    frequency = {"faucet": 9, "faucets": 3, "facet": 1, "slipper": 2, "tip": 50, "größe": 3}
    assert correction(word, frequency, "abcdefghijklmnopqrstuvwxyzößéñ") == right


def test_misspelt_queries(data, tmp_path):
    queries = data.queries.with_columns(
        query=pl.when(pl.col("query_id") == "q04").then(pl.lit("Brss, numbr4 LIHGT brss 12 item"))
        .otherwise("query")
    )  # fmt: skip
    changed = stored(tmp_path / "data", queries=queries)
    assert changed.queries.filter(query_id="q04")["split"].item() == "test"

    def text(**modes):
        return make_reference_policy("spelling", RetrievalTask(changed, **modes))(["q04"], [""])

    assert text() == ["brass, numbr4 light brass 12 item"]  # numbr4 holds a digit
    assert text(compose="append") == ["brass light"]
    assert text(compose="append", max_words=1) == ["brass"]
    assert text(max_words=5) == ["Brss, numbr4 LIHGT brss 12 item"], "a long query is not cut"
    known = make_reference_policy("spelling", RetrievalTask(changed, compose="append"))(["q06"], [""])
    assert known == [""]
    task = RetrievalTask(changed)
    assert task.rewards(["q04"], text()) > task.rewards(["q04"], [task.query("q04").query])


# All of them


@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_texts_heed_the_cap_and_the_mode(data, name, modes):
    task = RetrievalTask(data, max_words=3, **modes)
    for split in ("train", "validation", "test"):
        ids, _ = task.prompts(split)
        texts = write(name, task, split)
        assert task.words_beyond_cap(ids, texts) == [0] * len(ids)
        for key, text in zip(ids, texts, strict=True):
            query = task.query(key).query
            assert len(token_spans(text)) <= 3
            if modes.get("compose") == "append":
                assert query not in text
                (sent,) = task.sent([key], [text])
                assert sent.startswith(query) == ("once" not in modes.values() or len(set(tokens(query))) > 0)
            elif name != "spelling":
                assert text.startswith(query)


def test_a_query_that_fills_the_cap_stays_as_it_is(data):
    task = RetrievalTask(data, max_words=1)
    ids, _ = task.prompts("test")
    assert expanded(task, ids[1], ["couch"]) == task.query(ids[1]).query == "sofas please"
    assert expanded(RetrievalTask(data, max_words=3), ids[1], ["couch", "light"]) == "sofas please couch"


def test_samples_are_fixed_and_bounded(data):
    task = RetrievalTask(data)
    assert fixed_sample(task, "train", 5) == fixed_sample(task, "train", 99)[:5]
    assert sorted(fixed_sample(task, "train", 99)) == sorted(task.prompts("train")[0])


# Real data


@pytest.mark.skipif(not (SHARED_DATA / "nfcorpus").is_dir(), reason=f"needs {SHARED_DATA / 'nfcorpus'}")
@pytest.mark.slow
def test_associations_help_on_nfcorpus(tmp_path):
    from envs_data import load_prepared, prepare_beir

    prepare_beir(SHARED_DATA / "nfcorpus", tmp_path / "data", graded=True)
    task = RetrievalTask(load_prepared(tmp_path / "data"), compose="append")
    ids, _ = task.prompts("test")
    gain = task.rewards(ids, write("association", task)) - task.rewards(ids, [""] * len(ids))
    assert gain.mean() - 2 * gain.std() / math.sqrt(len(ids)) > 0.03
