"""Completions of a chat model: reasoning, then an answer, or neither."""

import numpy as np
import pytest
import torch

from chat_models import TAGGED, chat_directory, logged, train, weights
from ospo_agents.offsets import token_offsets
from ospo_agents.policies.language_model import load_policy
from toy_task import ToyTask


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return chat_directory(tmp_path_factory.mktemp("hub") / "qwen")


def test_an_untrained_model_is_malformed_and_learns_nothing(source, tmp_path):
    before = load_policy(source)
    trainer = train(before, tmp_path)
    assert logged(trainer, "malformed") == [1.0, 1.0]
    assert logged(trainer, "reward") == [0.0, 0.0]
    assert logged(trainer, "segments") == [0.0, 0.0]
    start = weights(load_policy(source)[0])
    assert all(torch.equal(tensor, start[name]) for name, tensor in weights(trainer.model).items())


def credited_rollouts(source, out, texts, task=None, **settings):
    """Each rollout's text, token spans, and what was laid on them."""
    seen = []

    def watch(rollouts, advantages):
        seen.append((rollouts, advantages))
        return advantages

    policy = load_policy(source)
    train(policy, out, texts, watch=watch, max_steps=1, task=task, **settings)
    ((rollouts, advantages),) = seen
    tokenizer = policy[1]
    for row in range(len(advantages)):
        ids = [*tokenizer.encode(texts[row]), tokenizer.eos_token_id]
        yield rollouts, advantages[row][: len(ids)], row, *token_offsets(tokenizer, ids)


@pytest.mark.parametrize("redistribution", ["additive", "signed", "prop", "rank", "return_to_go"])
def test_credit_lies_on_the_answer_only(source, tmp_path, redistribution):
    texts = [
        "red? no, blue. red coat <answer>red coat, wool</answer> blue",
        "<answer>blue silk, long dress</answer>",
        "is it <answer> or not? <answer>wool</answer>",
        "red coat <answer>red, green, wool, linen</answer>",
    ] * 2
    inside = 0
    for rollouts, advantages, row, text, offsets in credited_rollouts(
        source, tmp_path, texts, redistribution=redistribution
    ):
        start, end = TAGGED.answer_span(text)
        assert text[start:end] == texts[row].rsplit("<answer>", 1)[1].split("</answer>")[0]
        group = rollouts.advantages[row]
        for value, (first, last) in zip(advantages, offsets.tolist(), strict=True):
            letters = any(map(str.isalnum, text[max(first, start) : min(last, end)]))
            if not letters:
                np.testing.assert_allclose(value, group, atol=1e-12)
            inside += letters and abs(value - group) > 1e-3
    assert inside > 4  # and on the answer something else is laid


def test_separators_and_twins_of_a_completion(source, tmp_path):
    """The comma of the answer and the token that ends it; no comma before it, and none of a malformed completion."""
    texts = [
        "blue, so <answer>red coat, WOOL</answer>",
        "<answer>wool, red coat</answer>",
        "red, blue",
        "<answer>silk",
    ] * 2
    keys = {}
    for rollouts, _, row, text, offsets in credited_rollouts(source, tmp_path, texts):
        span = TAGGED.answer_span(text)
        chosen = [text[start:end] for start, end in offsets[rollouts.separator[row][: len(offsets)]]]
        if span is None:
            assert chosen == []
            continue
        inside = [token for token in chosen[:-1] if "," in token]
        assert len(inside) == 1
        assert not any(character.isalnum() for token in chosen[:-1] for character in token)
        assert offsets[rollouts.separator[row][: len(offsets)]][-1][0] == span[1]
        for number, phrase in zip(rollouts.phrase[row], text[slice(*span)].casefold().split(","), strict=False):
            keys.setdefault(phrase.strip(), set()).add(int(number))
    assert set(keys) == {"red coat", "wool"}
    assert all(len(numbers) == 1 for numbers in keys.values())
    assert keys["red coat"] != keys["wool"]


class Generous(ToyTask):
    """Pays for the empty text too, which no task should."""

    def worth(self, prompt_id, text):
        return 0.5 if not text.strip() else super().worth(prompt_id, text)


@pytest.mark.parametrize("task", [ToyTask(), Generous()])
@pytest.mark.parametrize(
    "redistribution",
    ["additive", {"redistribution": "potential", "solution": "prefix_potential", "loss_type": "dr_grpo"}],
    ids=["additive", "potential"],
)
def test_a_malformed_completion_has_no_segments_and_is_worth_nothing(source, tmp_path, task, redistribution):
    texts = ["<answer>red wool</answer>", "red coat, wool", "<answer>red", "blue <answer>silk dress</answer>"] * 2
    settings = redistribution if isinstance(redistribution, dict) else {"redistribution": redistribution}
    rows = list(credited_rollouts(source, tmp_path, texts, task=task, **settings))
    for rollouts, advantages, row, text, _ in rows:
        if TAGGED.answer_span(text) is None:
            assert rollouts.rewards[row] == 0.0
            assert np.isnan(rollouts.credit[row]).all()
            assert (rollouts.segment[row] == -1).all()
            plain = 0.0 if redistribution != "additive" else rollouts.advantages[row]
            np.testing.assert_allclose(advantages, plain, atol=1e-12)
        else:
            assert not np.isnan(rollouts.credit[row]).all()
    rewards = rows[0][0].rewards
    assert rewards.max() > 0
    # The advantages that TRL made say the same of the rewards.
    grouped = rewards.reshape(-1, 4)
    expected = (grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, ddof=1, keepdims=True) + 1e-4)
    np.testing.assert_allclose(rows[0][0].advantages.reshape(-1, 4), expected, atol=1e-5)
