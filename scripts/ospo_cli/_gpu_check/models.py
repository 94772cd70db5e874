"""Models with random weights in the sizes of published ones: policies that write known words, and an encoder."""

import math
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from ospo_agents.policies.tiny import tiny_tokenizer
from ospo_env import RetrievalTask

__all__ = ["ENCODER", "SIZES", "TINY", "TINY_ENCODER", "Size", "random_policy", "write_encoder"]


class Size(NamedTuple):
    """Shape of a causal LM."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int


SIZES = MappingProxyType(
    {
        "135M": Size(576, 1536, 30, 9, 3, 49152),
        "0.5B": Size(896, 4864, 24, 14, 2, 151936),
        "1.5B": Size(1536, 8960, 28, 12, 2, 151936),
    }
)
"""Shapes of SmolLM2-135M, Qwen2.5-0.5B and Qwen2.5-1.5B, from their published configurations."""

TINY = Size(64, 128, 2, 2, 1, 2100)

ENCODER = (384, 1536, 6, 12)
"""Width, inner width, layers and heads of all-MiniLM-L6-v2, from its published configuration."""

TINY_ENCODER = (32, 64, 2, 2)

_NEVER = -30.0
_WORDS_A_PHRASE = 3


def random_policy(size: Size, task: RetrievalTask, device: str, *, bf16: bool = False, seed: int = 0) -> Any:
    """A causal LM with random weights whose completions look like rewrites, and a tokenizer.

    It writes words of the task's texts and, after three of them on average, a comma, until it is cut: a bias of the
    output layer, which is not trained, leaves out all other tokens. All policies write equally long that way.

    Args:
        size: Shape of the model.
        task: Source of the words.
        device: Device on which the weights are made.
        bf16: Whether they are in bfloat16, to train an adapter on.
        seed: Seed of the weights; the global generators are left as they were.
    """
    tokenizer = tiny_tokenizer(task.texts())
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[0] if device == "cuda" else []), torch.device(device):
        torch.manual_seed(seed)
        model: PreTrainedModel = LlamaForCausalLM(config)
        head = nn.Linear(size.hidden, size.vocabulary)
    head.weight = model.get_input_embeddings().weight
    head.bias = nn.Parameter(_bias(tokenizer, size.vocabulary).to(device), requires_grad=False)
    model.set_output_embeddings(head)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return (model.to(torch.bfloat16) if bf16 else model), tokenizer


def _bias(tokenizer: Any, vocabulary: int) -> torch.Tensor:
    """Bias of the output layer (V,): equal for words, as much as three of them for the comma, none of the rest."""
    bias = torch.full((vocabulary,), _NEVER)
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    words = [token for token, text in enumerate(texts) if text[:1] == " " and text[1:].isalpha() and len(text) > 3]
    bias[words] = 0.0
    bias[texts.index(",")] = math.log(len(words) / _WORDS_A_PHRASE)
    return bias


def write_encoder(shape: tuple[int, int, int, int], task: RetrievalTask, directory: Path) -> None:
    """Write a sentence-transformers model with random weights that knows the words of a task.

    Args:
        shape: Width, inner width, layers and heads, as in :data:`ENCODER`.
        task: Source of the words.
        directory: New directory to write.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = sorted({word for text in task.texts() for word in text.lower().split() if word.isalnum()})
    width, inner, layers, heads = shape
    base = directory / "base"
    base.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", *words]
    (base / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    BertTokenizer(vocab={word: place for place, word in enumerate(vocabulary)}).save_pretrained(base)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            initializer_range=0.2,  # wide enough that texts of different words lie apart
        )
        BertModel(config).save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=128)
    SentenceTransformer(modules=[transformer, Pooling(width, "mean")], device="cpu").save(str(directory / "encoder"))
