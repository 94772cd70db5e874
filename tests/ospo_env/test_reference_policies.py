"""Reference policies: what each writes, and that the oracle earns what it claims to know."""

import numpy as np
import polars as pl
import pytest

from envs_data import write_prepared
from envs_data.sample import load_sample
from ospo_env import RetrievalTask, TaskError, make_reference_policy
from ospo_env.evaluation.reference_policies import REFERENCE_POLICIES
from ospo_env.text import cap_words, tokens
from shop import shop


@pytest.fixture(scope="module")
def task():
    return RetrievalTask(shop(), max_words=4)


def write(name, task, prompt_ids, seed=0):
    prompts = ["what stands here does not matter"] * len(prompt_ids)
    return make_reference_policy(name, task, seed)(prompt_ids, prompts)


def test_unknown_name(task):
    with pytest.raises(TaskError, match="unknown reference policy 'orakel'; did you mean 'oracle'") as error:
        make_reference_policy("orakel", task)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", REFERENCE_POLICIES)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_one_text_within_the_cap_for_each_prompt(task, name, split):
    prompt_ids, _ = task.prompts(split)
    texts = write(name, task, prompt_ids)
    assert len(texts) == len(prompt_ids)
    assert all(isinstance(text, str) for text in texts)
    assert task.words_beyond_cap(prompt_ids, texts) == [0] * len(texts)
    assert write(name, task, []) == []


@pytest.mark.parametrize("name", REFERENCE_POLICIES)
def test_a_text_depends_on_its_prompt_alone(task, name):
    prompt_ids, _ = task.prompts("train")
    together = write(name, task, prompt_ids)
    assert [write(name, task, [prompt_id])[0] for prompt_id in prompt_ids] == together
    assert write(name, task, prompt_ids[::-1]) == together[::-1]
    assert write(name, task, [prompt_ids[0]] * 3) == [together[0]] * 3


@pytest.mark.parametrize("name", REFERENCE_POLICIES)
def test_an_unknown_prompt_is_an_error(task, name):
    with pytest.raises(TaskError, match="unknown prompt id 'q001'"):
        write(name, task, ["q001"])


def test_query_is_the_raw_query_without_the_history(task):
    prompt_ids, prompts = task.prompts("train")
    assert write("query", task, prompt_ids) == [task.query(prompt_id).query for prompt_id in prompt_ids]
    assert write("query", task, prompt_ids) != prompts


def test_random_is_seeded_and_made_of_documents(task):
    prompt_ids, _ = task.prompts("train")
    texts = write("random", task, prompt_ids, seed=1)
    assert write("random", task, prompt_ids, seed=1) == texts
    assert write("random", task, prompt_ids, seed=2) != texts
    documents = {cap_words(text, 4)[0] for text in shop().documents["text"]}
    assert set(texts) <= documents
    assert len({text for seed in range(20) for text in write("random", task, prompt_ids, seed)}) > 20


class Recording(RetrievalTask):
    """Keeps the batches of rewards that were asked for."""

    def rewards(self, prompt_ids, texts):
        rewards = super().rewards(prompt_ids, texts)
        self.asked = [*getattr(self, "asked", []), (list(prompt_ids), list(texts), rewards)]
        return rewards


def test_oracle_keeps_the_best_of_what_it_tries_in_one_batch():
    task = Recording(shop(), max_words=4)
    prompt_ids, _ = task.prompts("train")
    texts = write("oracle", task, prompt_ids)
    ((asked_ids, asked_texts, rewards),) = task.asked
    assert len(set(zip(asked_ids, asked_texts, strict=True))) == len(asked_ids), "nothing is tried twice"
    for prompt_id, text in zip(prompt_ids, texts, strict=True):
        tried = {asked_texts[row]: rewards[row] for row, asked in enumerate(asked_ids) if asked == prompt_id}
        assert next(candidate for candidate, reward in tried.items() if reward == max(tried.values())) == text
        assert next(iter(tried)) == ", ".join(task.query(prompt_id).intent)
        assert len(tried) > 5
        assert min(tried.values()) < max(tried.values())


def test_oracle_without_a_known_intent(tmp_path):
    """Real data have none: titles, texts and shared words remain."""
    data = shop()
    names = ("documents", "queries", "pools", "qrels", "demonstrations")
    tables = {name: getattr(data, name) for name in names}
    tables["queries"] = data.queries.with_columns(intent=pl.lit([], dtype=pl.List(pl.String)))
    blind = write_prepared(
        tmp_path / "blind", tables, dataset="own", synthetic=True, arguments={}, sources={}, counts={}
    )
    task = RetrievalTask(blind, max_words=2)
    prompt_ids, _ = task.prompts("train")
    texts = write("oracle", task, prompt_ids)
    reward = {name: task.rewards(prompt_ids, write(name, task, prompt_ids)).mean() for name in REFERENCE_POLICIES}
    assert reward["oracle"] > reward["query"] + 0.2
    assert all(set(tokens(text)) & {"red", "blue", "black"} for text in texts)


@pytest.mark.parametrize("retriever", ["bm25", "lsa"])
@pytest.mark.parametrize("kind", ["shopping", "fashion"])
def test_rewriting_matters_on_the_embedded_sample(kind, retriever):
    """The oracle beats the raw query by at least 0.3 nDCG@10, and noise earns less than both."""
    task = RetrievalTask(load_sample(kind), retriever=retriever, max_words=16)
    prompt_ids, _ = task.prompts("validation")
    prompt_ids = prompt_ids[:200]
    names = ("oracle", "query", "random")
    mean = {name: np.mean(task.rewards(prompt_ids, write(name, task, prompt_ids))) for name in names}
    assert mean["oracle"] >= mean["query"] + 0.3
    assert mean["random"] < mean["query"]
