"""A text alone and in any batch is the same, whatever side a tokenizer pads on and whatever kind of model it is."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from chat_models import chat_tokenizer
from ospo_agents.policies import generation
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy
from ospo_agents.policies.prompt_format import PromptFormat

PROMPTS = [
    "red",
    "a warm long blue linen dress, for the beach and for the rain",
    "",
    "wool coat, green",
    "light silk shirt",
    "red wool coat " * 6,
]
IDS = [f"p{number}" for number in range(len(PROMPTS))]
LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {**LAYERS, "intermediate_size": 64, "num_key_value_heads": 1}
KINDS = {
    "llama": SMALL,
    "qwen2": SMALL,
    "mistral": {**SMALL, "sliding_window": 16},
    "gemma2": {**SMALL, "head_dim": 16, "sliding_window": 16},
    "gpt_neox": {**LAYERS, "intermediate_size": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2},
    "opt": {**LAYERS, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
}


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """Directories of models with random weights, by kind and by what the tokenizer says of padding."""
    paths = {}

    def make(kind, side):
        if (kind, side) in paths:
            return paths[kind, side]
        tokenizer = chat_tokenizer()
        config = AutoConfig.for_model(
            kind, **KINDS[kind], vocab_size=len(tokenizer), max_position_embeddings=256, initializer_range=0.3,
            tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            model = AutoModelForCausalLM.from_config(config)
        paths[kind, side] = path = tmp_path_factory.mktemp("model")
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        settings = json.loads((path / "tokenizer_config.json").read_text())
        settings.pop("padding_side", None)
        (path / "tokenizer_config.json").write_text(json.dumps(settings | ({"padding_side": side} if side else {})))
        return path

    return make


def texts(path, batch_size, order=slice(None), **settings):
    model, tokenizer, _ = load_policy(path)
    policy = LanguageModelPolicy(model, tokenizer, PromptFormat(), batch_size=batch_size, max_new_tokens=12, **settings)
    return policy(IDS[order], PROMPTS[order])


CASES = [(kind, "right") for kind in KINDS] + [("qwen2", None), ("qwen2", "left"), ("gpt2", "left")]


@pytest.mark.parametrize(("kind", "side"), CASES)
def test_a_text_is_the_same_alone_and_in_any_batch(directories, kind, side):
    path = directories(kind, side)
    assert AutoTokenizer.from_pretrained(path).padding_side == (side or "right"), "right is transformers' default"
    alone = texts(path, 1)
    assert len(set(alone)) == len(alone), "texts differ, so that the check can fail"
    for batch_size in (2, 4, len(PROMPTS)):
        assert texts(path, batch_size) == alone
    assert texts(path, len(PROMPTS), slice(None, None, -1)) == alone[::-1]


def test_prompts_padded_on_the_right_give_other_texts(directories, monkeypatch):
    """The negative control: what the tokenizer does if nothing is said."""
    path = directories("qwen2", "right")
    alone = texts(path, 1)
    model, tokenizer, _ = load_policy(path)
    pad = tokenizer.pad

    def as_it_likes(*arguments, padding_side, **settings):
        return pad(*arguments, **settings)

    monkeypatch.setattr(tokenizer, "pad", as_it_likes)
    policy = LanguageModelPolicy(model, tokenizer, PromptFormat(), max_new_tokens=12)
    assert sum(one != other for one, other in zip(policy(IDS, PROMPTS), alone, strict=True)) >= 4


@pytest.mark.parametrize(
    "names", [["input_ids"], ["input_ids", "token_type_ids", "attention_mask"]], ids=["without a mask", "token types"]
)
def test_what_a_tokenizer_gives_besides_ids_does_not_matter(directories, names):
    path = directories("llama", "right")
    alone = texts(path, 1)
    model, tokenizer, _ = load_policy(path)
    tokenizer.model_input_names = names
    assert LanguageModelPolicy(model, tokenizer, PromptFormat(), max_new_tokens=12)(IDS, PROMPTS) == alone


def test_completions_stop_before_their_end_and_say_whether_there_is_one(directories):
    model, tokenizer, _ = load_policy(directories("llama", "right"))
    settings = generation.generation_settings(model, tokenizer, max_new_tokens=40, temperature=3.0)
    assert settings["eos_token_id"] == [tokenizer.eos_token_id]
    settings["eos_token_id"] = list(range(3, 40))  # so that some completions end and others are cut
    conversations = [PromptFormat().messages(prompt) for prompt in PROMPTS * 4]
    with generation.evaluating(model, seed=1):
        completions = generation.generate(model, tokenizer, conversations, settings)
        settings["max_new_tokens"] = 4
        short = generation.generate(model, tokenizer, conversations, settings)
    assert {completion.ended for completion in short} == {True, False}
    for completion in (*completions, *short):
        assert not set(completion.token_ids) & set(settings["eos_token_id"])
    assert all(completion.ended or len(completion.token_ids) == 4 for completion in short)
    assert all(len(completion.token_ids) < 4 for completion in short if completion.ended)


def test_ends_are_the_models_and_the_tokenizers(directories):
    model, tokenizer, _ = load_policy(directories("llama", "right"))
    end = tokenizer.eos_token_id
    for own, ends in ((None, [end]), (7, sorted([7, end])), ([7, 9], sorted([7, 9, end]))):
        model.generation_config.eos_token_id = own
        settings = generation.generation_settings(model, tokenizer, max_new_tokens=1, temperature=0.0)
        assert settings["eos_token_id"] == ends
