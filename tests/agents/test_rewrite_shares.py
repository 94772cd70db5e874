"""Shares that show a policy collapsing, of batches made by hand."""

import numpy as np
import pytest

from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_tokenizer
from ospo_agents.rewrite_shares import rewrite_shares
from ospo_agents.trl_task import TaskReward
from ospo_env import ContrastTask, RetrievalTask
from shop import shop

PROMPTS = ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize(
    ("texts", "distinct", "empty"),
    [
        (["x", "x", "y", "y", "z", "z"], 1.0, 0.0),  # certain, and each prompt has its own
        (["x", "y", "x", "y", "x", "y"], 1 / 3, 0.0),  # varied, and blind to the prompt
        (["x"] * 6, 1 / 3, 0.0),
        (["x", "", "y", " ", "z", ""], 1.0, 0.5),
        (["", "", "", "", "", " "], 0.0, 1.0),
        ([None, "x", None, "y", None, None], 1.0, 0.0),
        ([None] * 6, 0.0, 0.0),
    ],
)
def test_distinct_and_empty(texts, distinct, empty):
    shares = rewrite_shares(object(), PROMPTS, texts)
    assert shares == pytest.approx({"distinct_rewrites": distinct, "empty_rewrites": empty})


def test_words_that_no_document_has():
    task = RetrievalTask(shop())
    texts = ["red wool", "red zzz, qqq", "", None, "RED-zzz", "!"]
    words = {word for text in shop().documents["text"] for word in text.lower().split()}
    assert {"red", "wool"} <= words
    assert not {"zzz", "qqq"} & words
    assert task.count_words([text or "" for text in texts]).tolist() == [[2, 0], [3, 2], [0, 0], [0, 0], [2, 1], [0, 0]]
    for lexical in (task, ContrastTask(task, 1)):
        assert rewrite_shares(lexical, PROMPTS, texts)["unknown_words"] == pytest.approx(3 / 7)
    assert rewrite_shares(task, PROMPTS, [None] * 6)["unknown_words"] == 0.0
    assert "unknown_words" not in rewrite_shares(object(), PROMPTS, texts)


def test_the_reward_function_logs_them_and_the_metric_of_a_contrast():
    task = RetrievalTask(shop(), compose="append")
    ids = task.prompts("train")[0][:3]
    texts = ["red coat", "", "zzz"]
    tokenizer = tiny_tokenizer([*task.texts(), *texts], vocab_size=300)
    logged = {}
    arguments = {"completion_ids": [tokenizer(text)["input_ids"] for text in texts], "prompt_id": ids}
    for used in (task, ContrastTask(task, 2)):
        logged[used] = {}
        rewards = TaskReward(used, PromptFormat(), tokenizer)(**arguments, log_metric=logged[used].__setitem__)
        assert rewards == used.rewards(ids, texts).tolist()
    plain, contrast = logged.values()
    assert plain == {
        "malformed": 0.0,
        "distinct_rewrites": 1.0,
        "empty_rewrites": pytest.approx(1 / 3),
        "unknown_words": pytest.approx(1 / 3),
    }
    assert contrast == {**plain, "metric": pytest.approx(np.mean(task.rewards(ids, texts)))}
