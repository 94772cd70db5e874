"""Preference pairs out of a policy's own rollouts."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ospo_agents import AgentError
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.training.preferences import Preference, preference_dataset, sample_preferences
from ospo_agents.training.warm_start import warm_start
from toy_task import ToyTask

SETTINGS = {"groups": 30, "group_size": 4, "groups_at_once": 7, "max_new_tokens": 24}


class Letters(ToyTask):
    """Pays an untrained model too: for letters."""

    def worth(self, prompt_id, text):
        return min(1.0, sum(map(str.isalpha, text)) / 20)


@pytest.fixture(scope="module")
def policy():
    """One that has learnt to end what it writes; its vocabulary is single bytes."""
    tokenizer = tiny_tokenizer(ToyTask().texts(), vocab_size=259)
    model = tiny_model(tokenizer, hidden_size=64, layers=2)
    with tempfile.TemporaryDirectory() as scratch:
        warm_start(
            model, tokenizer, ToyTask(), PromptFormat(), out=Path(scratch), epochs=25, learning_rate=5e-3, batch_size=8,
            use_cpu=True, bf16=False, activation_checkpointing=False, disable_tqdm=True,
        )  # fmt: skip
    return model, tokenizer


def batches(policy, task=None, tags=False, **settings):
    prompt_format = PromptFormat("", answer_tags=tags)
    return list(sample_preferences(*policy, task or Letters(), prompt_format, **{**SETTINGS, **settings}))


def test_the_best_stands_against_the_worst(policy):
    task = Letters()
    all_batches = batches(policy, task, temperature=1.2)
    assert [len(batch) for batch in all_batches] == [7, 7, 7, 7, 2]
    groups = list(itertools.chain(*all_batches))
    assert all(len(group.rewards) == 4 for group in groups)
    paired = [group for group in groups if group.chosen is not None]
    whole = [group for group in paired if group.cut == 0]
    assert len(whole) > 20
    for group in whole:
        assert task.worth(group.prompt_id, group.chosen.strip()) == max(group.rewards)
        assert task.worth(group.prompt_id, group.rejected.strip()) == min(group.rewards)
    for group in paired:
        assert task.worth(group.prompt_id, group.chosen.strip()) > task.worth(group.prompt_id, group.rejected.strip())


def test_what_was_cut_is_in_no_pair(policy):
    """Every token is a byte here: a text of as many letters as the bound was cut, and this task pays it best."""
    bound = 12
    model, tokenizer = policy
    groups = list(itertools.chain(*batches(policy, max_new_tokens=bound, temperature=1.2)))
    texts = [text for group in groups for text in (group.chosen, group.rejected) if text is not None]
    assert len(texts) > 20
    assert max(map(len, texts)) < bound
    assert sum(group.cut for group in groups) > 30
    settings = {"max_new_tokens": bound, "do_sample": True, "temperature": 1.2, "pad_token_id": tokenizer.pad_token_id}
    prompt = PromptFormat().messages(ToyTask().queries["p0"])
    encoded = tokenizer.apply_chat_template([prompt] * 64, add_generation_prompt=True, return_tensors="pt")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = model.generate(**encoded, **settings)[:, encoded["input_ids"].shape[1] :]
    lengths = [len(tokenizer.decode(row, skip_special_tokens=True)) for row in rows]
    assert max(lengths) == bound, "the negative control: the policy does write longer"


def test_everything_cut_gives_no_pair(policy):
    groups = list(itertools.chain(*batches(policy, max_new_tokens=1)))
    assert {(group.chosen, group.rejected) for group in groups} == {(None, None)}
    cut = sum(group.cut for group in groups)
    assert cut > 110
    with pytest.raises(AgentError, match=f"{cut} rollouts apart that were cut at the bound"):
        preference_dataset(groups, Letters(), PromptFormat())


def test_rollouts_end_at_the_tokenizers_end_token(policy):
    """A model's generation config may not name the end that the tokenizer's template writes."""
    model, _ = policy
    first = batches(policy)
    ends = model.generation_config.eos_token_id
    try:
        model.generation_config.eos_token_id = None
        assert batches(policy) == first
    finally:
        model.generation_config.eos_token_id = ends


def test_pairs_drawn_in_another_way_are_read():
    """Groups that were stored before cuts were counted."""
    stored = {"prompt_id": "p0", "chosen": "coat", "rejected": "hat", "rewards": [0.0, 1.0]}
    assert Preference(**stored).cut == 0


def test_every_prompt_comes_before_any_comes_again(policy):
    ids = [group.prompt_id for batch in batches(policy, groups=50) for group in batch]
    everyone = set(ToyTask().queries)
    assert set(ids[:24]) == set(ids[24:48]) == everyone
    assert ids[:24] != ids[24:48]
    assert ids[:24] != sorted(ids[:24])


def test_sampling_is_seeded_and_goes_on_where_it_stopped(policy):
    first = batches(policy)
    assert batches(policy) == first
    assert batches(policy, start=2) == first[2:]
    assert batches(policy, start=5) == []
    assert batches(policy, seed=1) != first


def test_sampling_leaves_model_and_generator_as_they_were(policy):
    model, _ = policy
    model.train()
    before, weights = torch.random.get_rng_state(), [tensor.clone() for tensor in model.parameters()]
    batches(policy, groups=7)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(left, right) for left, right in zip(model.parameters(), weights, strict=True))


def test_groups_without_spread_give_no_pair(policy):
    class Equal(ToyTask):
        def worth(self, prompt_id, text):
            return 0.5

    groups = list(itertools.chain(*batches(policy, Equal())))
    assert {(group.chosen, group.rejected) for group in groups} == {(None, None)}
    with pytest.raises(AgentError, match="in each of 30 all are equal") as caught:
        preference_dataset(groups, Equal(), PromptFormat())
    assert "\n" not in str(caught.value)
    mixed = [*groups, Preference("p3", "coat", "hat", (0.0, 1.0))]
    (row,) = preference_dataset(mixed, Equal(), PromptFormat("Rewrite."))
    assert row["prompt"] == PromptFormat("Rewrite.").messages(Equal().queries["p3"])
    assert row["chosen"] == [{"role": "assistant", "content": "coat"}]
    assert row["rejected"] == [{"role": "assistant", "content": "hat"}]


def test_malformed_completions_earn_nothing(policy):
    groups = itertools.chain(*batches(policy, tags=True))
    assert {reward for group in groups for reward in group.rewards} == {0.0}


def test_no_prompts(policy):
    task = Letters(prompts=0)
    with pytest.raises(AgentError, match="prompts in the split 'train'"):
        batches(policy, task)


def test_temperature_is_of_sampling(policy):
    """Close to 0, the rollouts of a group are the same."""
    groups = itertools.chain(*batches(policy, temperature=1e-4))
    assert all(np.ptp(group.rewards) == 0 for group in groups)
