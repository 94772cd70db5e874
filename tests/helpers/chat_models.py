"""A small chat model made on the spot, and rollouts that are replayed to a trainer in place of generation."""

import warnings

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from ospo_agents.policies.prompt_format import INSTRUCTION, PromptFormat
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from toy_task import WORDS, ToyTask

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ON_CPU = {"use_cpu": True, "bf16": False, "activation_checkpointing": False, "disable_tqdm": True}
PLAIN = {**ON_CPU, "save_strategy": "no", "report_to": [], "logging_steps": 1}


SETTINGS = {
    **PLAIN,
    "max_steps": 2,
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 48,
    "learning_rate": 1e-2,
}
TAGGED = PromptFormat(INSTRUCTION, answer_tags=True)


def chat_tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([*ToyTask().texts(), INSTRUCTION, "<answer>red coat</answer>"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def chat_model(tokenizer, seed=0):
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(config)


def chat_directory(path):
    """A model directory as anyone else writes it."""
    tokenizer = chat_tokenizer()
    chat_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


class Replay:
    """TRL's ``rollout_func`` with completions made beforehand.

    Which one a prompt gets is decided by the step and by its place in the batch of all processes.
    """

    def __init__(self, texts):
        self.texts = texts

    def __call__(self, prompts, trainer):
        tokenizer, place = trainer.processing_class, trainer.accelerator.process_index * len(prompts)
        asked = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, return_dict=True)["input_ids"]
        rows = range(place, place + len(prompts))
        texts = [self.texts[(trainer.state.global_step * 31 + row) % len(self.texts)] for row in rows]
        ids = [[*tokenizer.encode(text), tokenizer.eos_token_id] for text in texts]
        return {"prompt_ids": asked, "completion_ids": ids, "logprobs": None}


def answers(count, seed=0):
    """Completions with some reasoning before the answer; every seventh has no answer."""
    rng = np.random.default_rng(seed)
    texts = []
    for number in range(count):
        words = list(rng.choice(WORDS, size=rng.integers(2, 7), replace=False))
        thought = f"they want {words[0]}. " * int(rng.integers(0, 3))
        answer = f"{' '.join(words[:2])}, {' '.join(words[2:])}"
        texts.append(thought + (answer if number % 7 == 6 else f"<answer>{answer}</answer>"))
    return texts


def train(policy, out, texts=None, watch=None, task=None, peft_config=None, **settings):
    """Two steps on replayed completions, or on the model's own."""
    model, tokenizer, prompt_format = policy
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
        trainer = OSPOTrainer(
            model=model,
            task=task or ToyTask(),
            prompt_format=prompt_format,
            args=OSPOConfig(str(out), **{**SETTINGS, **settings}),
            processing_class=tokenizer,
            rollout_func=None if texts is None else Replay(texts),
            peft_config=peft_config,
        )
    if watch is not None:
        redistribute = trainer._redistribute
        trainer._redistribute = lambda rollouts: watch(rollouts, redistribute(rollouts))
    trainer.train()
    return trainer


def weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def logged(trainer, name):
    return [row[name] for row in trainer.state.log_history if name in row]
