"""Rollouts of one step of OSPOTrainer on written completions, with the advantages that it gives their tokens."""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ospo_agents import CreditedCompletion
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from toy_task import ToyTask

FORMAT = PromptFormat(answer_tags=True)
COMPLETIONS = [
    "<answer>red coat, wool shirt, silk blue dress, long</answer>",
    "hm, <answer>blue-green dress; very long, warm light</answer> so",  # a hyphen in a segment, text on both sides
    "<answer>nothing of use, linen light warm coat</answer>",  # credit of 0
    "<answer></answer>",  # no segment
    "red coat",  # malformed
    "<answer>coat</answer>",  # one segment
    "<answer>!?</answer>",  # a segment of separators
    "<answer>silk, silk, wool, wool, red, red, blue, green coat, long shirt</answer>",
]
"""Completions of the two groups of four; the fifth is cut off before its end."""


class AppendTask(ToyTask):
    """The query is sent too: the empty rewrite earns what the query does."""

    def worth(self, prompt_id, text):
        return super().worth(prompt_id, f"{self.queries[prompt_id].split()[0]} {text}")


@dataclass(frozen=True)
class Stored:
    """A step's rollouts; ``advantages`` gives OSPOTrainer's own, float32 (B, T), for a redistribution."""

    task: ToyTask
    tokenizer: Any
    prompt_ids: list[str]
    completion_ids: list[list[int]]
    completions: list[CreditedCompletion]
    group: np.ndarray
    mask: np.ndarray
    trainer: OSPOTrainer
    output: dict[str, Any]

    def advantages(self, redistribute):
        self.trainer._redistribute = redistribute
        advantages = self.trainer._token_advantages(self.output).numpy()
        return advantages * self.output["tool_mask"].numpy() if "tool_mask" in self.output else advantages

    def reversed(self):
        """The same rollouts in the opposite order."""
        turned = {name: getattr(self, name)[::-1] for name in ("prompt_ids", "completion_ids", "completions", "group")}
        return replace(self, mask=self.mask[::-1], **turned)


def stored_rollouts(path, *, append=False, scale_rewards="group", solution="shapley", tool=None, tools=None):
    """One step of training on :data:`COMPLETIONS`.

    ``tool`` is a place in each completion and the tokens that an environment writes there; ``tools`` is set as TRL's
    own, which nothing calls.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    task = AppendTask() if append else ToyTask()
    tokenizer = tiny_tokenizer([*task.texts(), *COMPLETIONS], vocab_size=320)
    written = [tokenizer.encode(text, add_special_tokens=False) for text in COMPLETIONS]
    written = [ids if number == 4 else [*ids, tokenizer.eos_token_id] for number, ids in enumerate(written)]

    masks = None
    if tool is not None:
        at, inserted = tool
        masks = [[1] * len(ids[:at]) + [0] * len(inserted) + [1] * len(ids[at:]) for ids in written]
        written = [[*ids[:at], *inserted, *ids[at:]] for ids in written]

    def rollout(prompts, trainer):
        ids = [tokenizer.encode(prompt[-1]["content"], add_special_tokens=False) for prompt in prompts]
        output = {"prompt_ids": ids, "completion_ids": written, "logprobs": None}
        return output if masks is None else {**output, "env_mask": masks}

    kept = {}

    class Keeping(OSPOTrainer):
        def _credit(self, prompt_ids, completion_ids):
            kept["prompt_ids"] = list(prompt_ids)
            return super()._credit(prompt_ids, completion_ids)

        def _generate_and_score_completions(self, inputs):
            kept["output"] = super(OSPOTrainer, self)._generate_and_score_completions(inputs)
            return {**kept["output"], "advantages": self._token_advantages(kept["output"])}

    args = OSPOConfig(
        str(path),
        max_steps=1,
        per_device_train_batch_size=len(written),
        num_generations=4,
        max_completion_length=64,
        beta=0.0,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        scale_rewards=scale_rewards,
        solution=solution,
    )
    trainer = Keeping(
        tiny_model(tokenizer, hidden_size=32, layers=1), task, FORMAT, args, tokenizer, rollout_func=rollout
    )
    trainer.tools = tools
    trainer.train()
    completions = trainer._completions
    mask = kept["output"]["completion_mask"].numpy().astype(bool)
    group = np.arange(len(written)) // 4
    return Stored(task, tokenizer, kept["prompt_ids"], written, completions, group, mask, trainer, kept["output"])
