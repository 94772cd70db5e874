"""Packed rows: every token sees what it saw in a row of its own, and less is computed."""

import pytest
import torch
from test_decoding import SMALL
from transformers import AutoConfig, AutoModelForCausalLM

from chat_models import ON_CPU, chat_model, chat_tokenizer
from ospo_agents import AgentError, compact_rollouts
from ospo_agents.compact_rollouts import add_compact_head
from ospo_agents.packing import pack
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.training.warm_start import warm_start
from toy_task import ToyTask

VOCABULARY = 64
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12], [5, 6, 7], [8], [5, 6, 7], [8, 9, 10, 11, 12], [5, 6]]
COMPLETIONS = [[20, 21], [22, 23, 24, 25], [26], [27, 28, 29], [20, 21], [], [30, 31, 32, 33, 34]]
KINDS = ("llama", "mistral", "qwen2", "qwen3")


def batch():
    """A batch of TRL's: prompts padded on the left, completions on the right, shuffled groups."""
    width, longest = max(map(len, PROMPTS)), max(map(len, COMPLETIONS))
    ids = torch.tensor(
        [
            [0] * (width - len(prompt)) + prompt + completion + [0] * (longest - len(completion))
            for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)
        ]
    )
    labels = ids.masked_fill(ids == 0, -100)
    labels[:, :width] = -100
    return ids, (ids != 0).long(), labels


def model_of(kind, **settings):
    config = AutoConfig.for_model(
        kind, **{**SMALL, **settings}, vocab_size=VOCABULARY, max_position_embeddings=64, initializer_range=0.3,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return AutoModelForCausalLM.from_config(config)


def alone(model):
    """Log-probabilities of the labels, of a pass for each row by itself and with nothing of this project."""
    values = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0]
        right = torch.log_softmax(logits, dim=-1)
        values += [right[len(prompt) + place - 1, token] for place, token in enumerate(completion)]
    return torch.stack(values)


def packed(model):
    """Log-probabilities of the labels by the compact head."""
    ids, mask, labels = batch()
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return output.log_probs[output.label_mask]


def gradient(model, values):
    model.zero_grad()
    values.square().sum().backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.fixture
def tokens_read(monkeypatch):
    """Sizes of the bins of each pass."""
    sizes = []

    def counted(*arguments, **settings):
        made = pack(*arguments, **settings)
        sizes.append(made.input_ids.shape)
        return made

    monkeypatch.setattr(compact_rollouts, "pack", counted)
    return sizes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("short", [4, 9, 128])
def test_values_and_gradients_are_those_of_single_rows(kind, short, monkeypatch, tokens_read):
    monkeypatch.setattr(compact_rollouts, "_SHORT", short)
    settings = {"sliding_window": None} if kind == "mistral" else {}
    model = model_of(kind, **settings)
    right = alone(model)
    right_gradient = gradient(model, right)
    add_compact_head(model)
    values = packed(model)
    assert tokens_read, "they were packed"
    assert values.detach().std() > 0.5
    torch.testing.assert_close(values, right, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient(model, values), right_gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lost", ["attention_mask", "position_ids"])
def test_rows_that_see_each_other_give_other_values(lost, monkeypatch):
    """Negative control: the mask and the positions are what keeps rows apart."""
    model = model_of("llama")
    right = alone(model)
    add_compact_head(model)
    base = model.base_model.forward

    def forward(**inputs):
        wrong = dict(inputs)
        if lost == "attention_mask":
            length = inputs["input_ids"].shape[1]
            wrong[lost] = torch.ones(length, length, dtype=torch.bool).tril().expand(inputs[lost].shape)
        else:
            wrong[lost] = torch.arange(inputs["input_ids"].shape[1])[None].expand_as(inputs["input_ids"])
        return base(**wrong)

    monkeypatch.setattr(model.base_model, "forward", forward)
    assert (packed(model) - right).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("mistral", {"sliding_window": 4}),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
        ("llama", {"attn_implementation": "eager"}),
        ("gpt_neox", {}),
    ],
)
def test_other_attention_reads_rows_as_they_come(kind, settings, tokens_read):
    model = model_of(kind, **settings)
    right = alone(model)
    add_compact_head(model)
    if kind == "qwen2":
        assert "sliding_attention" in model.config.layer_types
    torch.testing.assert_close(packed(model), right, rtol=1e-4, atol=1e-4)
    assert not tokens_read


def test_equal_prompts_of_a_bin_are_read_once():
    ids, mask, labels = batch()
    made = pack(ids, mask, labels, width=128)
    # Prompts, then completions without their last tokens, which predict nothing; the row without labels is left out.
    assert made.input_ids.shape == (1, (3 + 5 + 1 + 2) + (1 + 3 + 0 + 2 + 1 + 4))
    assert made.input_ids.shape[1] < int(mask.sum())
    assert made.predictors.shape == (2, int((labels != -100).sum()))


@pytest.mark.parametrize("width", [1, 6, 9])
def test_bins_are_no_wider_than_asked_unless_a_row_is(width):
    made = pack(*batch(), width=width)
    longest = max(len(prompt) + len(rest) - 1 for prompt, rest in zip(PROMPTS, COMPLETIONS, strict=True) if rest)
    assert made.input_ids.shape[1] <= max(width, longest)
    assert len(made.input_ids) > 1


def test_labels_between_other_tokens_are_predicted():
    """A row with a token that a tool wrote: it is read, and it has no label."""
    ids = torch.tensor([[0, 5, 6, 20, 21, 22, 23]])
    labels = torch.tensor([[-100, -100, -100, 20, -100, 22, -100]])
    made = pack(ids, (ids != 0).long(), labels, width=16)
    assert made.input_ids.tolist() == [[5, 6, 20, 21]]
    assert made.predictors.tolist() == [[0, 0], [1, 3]]


def test_labels_of_the_first_column_are_left_out():
    """Of rows that are labelled whole, as in a check of a model without prompts."""
    model = model_of("llama")
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    mask = (ids != 0).long()
    logits = [model(input_ids=row[row != 0][None]).logits[0].log_softmax(-1) for row in ids]
    right = torch.stack([logits[0][0, 6], logits[0][1, 7], logits[0][2, 8], logits[1][0, 10]])
    add_compact_head(model)
    labels = ids.masked_fill(mask == 0, -100)
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    torch.testing.assert_close(output.log_probs[output.label_mask], right, rtol=1e-5, atol=1e-5)


def test_a_label_behind_padding_alone_is_told():
    ids = torch.tensor([[0, 5, 6]])
    with pytest.raises(AgentError, match="row 0: expected a token before the first label"):
        pack(ids, (ids != 0).long(), torch.tensor([[-100, 5, 6]]), width=8)


def test_rows_with_such_labels_are_read_as_they_come(tokens_read):
    model = model_of("llama")
    ids = torch.tensor([[0, 5, 6], [7, 8, 9]])
    mask = (ids != 0).long()
    right = model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
    add_compact_head(model)
    output = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100), fused_lm_head=True)
    expected = right[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(output.log_probs, expected, rtol=1e-5, atol=1e-5)
    assert not tokens_read


@pytest.mark.parametrize("given", ["none", "bool", "four axes"])
def test_masks_of_other_kinds_change_no_value(given, tokens_read):
    model = model_of("llama")
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    mask = {
        "none": None,
        "bool": torch.ones_like(ids, dtype=torch.bool),
        "four axes": torch.ones(2, 1, 4, 4, dtype=torch.bool).tril(),
    }[given]
    right = model(input_ids=ids).logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    add_compact_head(model)
    output = model(input_ids=ids, attention_mask=mask, labels=ids, fused_lm_head=True)
    torch.testing.assert_close(output.log_probs, right, rtol=1e-5, atol=1e-5)
    assert bool(tokens_read) == (given == "bool")


def test_a_batch_without_labels_has_no_values():
    model = model_of("llama")
    add_compact_head(model)
    ids, mask, labels = batch()
    output = model(input_ids=ids, attention_mask=mask, labels=torch.full_like(labels, -100), fused_lm_head=True)
    assert not output.log_probs.any()
    assert output.log_probs.shape == (len(ids), ids.shape[1] - 1)


def test_a_warm_start_is_packed(tmp_path, tokens_read):
    tokenizer = chat_tokenizer()
    model = chat_model(tokenizer)
    warm_start(model, tokenizer, ToyTask(), PromptFormat(), out=tmp_path, epochs=1, **ON_CPU)
    assert tokens_read
