"""Tiny policy, the default without a network: a small causal LM, with a tokenizer trained on the task's own text."""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["tiny_model", "tiny_tokenizer"]

_PAD, _END, _REWRITE = "<|pad|>", "<|end|>", "<|rewrite|>"
# Only the template writes special tokens: in what people typed their brackets are set apart, so none is read there.
_CONTENT = "{{ message['content'] | replace('<|', '< |') | replace('|>', '| >') }}"
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|rewrite|>" + _CONTENT + "<|end|>"
    "{% else %}" + _CONTENT + "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|rewrite|>{% endif %}"
)


def tiny_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the task's texts; any Unicode round-trips.

    Its chat template ends a prompt with ``<|rewrite|>`` and a rewrite with ``<|end|>``. Messages never give special
    tokens: ``<|`` and ``|>`` in their text become ``< |`` and ``| >``.

    Args:
        texts: Texts to train on, ``task.texts()``.
        vocab_size: Upper bound on the number of tokens, at least 300.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_PAD, _END, _REWRITE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=_PAD,
        eos_token=_END,
        additional_special_tokens=[_REWRITE],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def tiny_model(
    tokenizer: PreTrainedTokenizerFast, *, hidden_size: int = 128, layers: int = 3, seed: int = 0
) -> LlamaForCausalLM:
    """A Llama with random weights for that tokenizer; under a million parameters at the defaults.

    Args:
        tokenizer: Source of the vocabulary and the special tokens.
        hidden_size: Width, a multiple of 32.
        layers: Number of blocks.
        seed: Seed of the initial weights; the global generator is left as it was.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 32,
        num_key_value_heads=hidden_size // 32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
