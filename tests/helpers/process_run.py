"""One of several processes that train together; also run in the tests' own process, as the one with the whole batch.

As a program, with torchrun's environment variables: ``python process_run.py DIRECTORY`` writes ``rank-R.pt``.
"""

import dataclasses
import gc
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback

from chat_models import PLAIN, Replay, answers, chat_model, chat_tokenizer
from ospo_agents.policies.language_model import load_policy, lora_config, save_policy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.trainer import OSPOConfig, OSPOTrainer
from toy_task import ToyTask

BATCH, GROUP = 12, 4  # with two processes of 6 rollouts each the second group of 4 lies on both
CASES = {
    "dr_grpo": {"loss_type": "dr_grpo"},
    "dapo": {"loss_type": "dapo"},
    "accumulated": {"loss_type": "dr_grpo", "gradient_accumulation_steps": 2},
    "adapter": {"loss_type": "dr_grpo", "beta": 0.05},
    "local": {"loss_type": "dr_grpo"},
    "generated": {"loss_type": "dr_grpo", "max_steps": 2},
}


class _Letters(ToyTask):
    """Pays an untrained model too: for letters."""

    def worth(self, prompt_id, text):
        return min(1.0, sum(map(str.isalpha, text)) / 50)


class _Recorder(OSPOTrainer):
    """Keeps what was laid on which rollout."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        for row, ids, mask, laid in zip(
            inputs, output["completion_ids"], output["completion_mask"].bool(), output["advantages"], strict=True
        ):
            self.rollouts.append((row["prompt_id"], ids[mask].tolist(), laid[mask].tolist()))
        return output


class _Weights(TrainerCallback):
    """Keeps the weights after each step."""

    def __init__(self):
        self.steps = []

    @staticmethod
    def read(model):
        return torch.cat([tensor.detach().flatten() for tensor in model.parameters() if tensor.requires_grad])

    def on_step_end(self, args, state, control, model=None, **_others):
        self.steps.append(self.read(model))


def _own_statistics(trainer, redistribute):
    """The negative control: statistics over this process's rollouts, as if nothing had been gathered."""

    def alone(rollouts):
        others = np.ones(len(rollouts.mask), dtype=bool)
        first = trainer.accelerator.process_index * len(trainer._completions)
        others[first : first + len(trainer._completions)] = False
        credit, segment, whole = rollouts.credit.copy(), rollouts.segment.copy(), rollouts.whole.copy()
        credit[others], segment[others], whole[others] = np.nan, -1, 0
        return redistribute(dataclasses.replace(rollouts, credit=credit, segment=segment, whole=whole))

    return alone


def train(case, processes):
    """Weights before and after each step, and this process's rollouts with their advantages."""
    tokenizer, weights, task = chat_tokenizer(), _Weights(), _Letters() if case == "generated" else ToyTask()
    settings = dict(CASES[case])
    accumulated = settings.get("gradient_accumulation_steps", 1)
    model = chat_model(tokenizer).double()  # so that the order of sums is all that may differ
    with tempfile.TemporaryDirectory() as scratch:
        trainer = _Recorder(
            model=model,
            task=task,
            prompt_format=PromptFormat("Rewrite.", answer_tags=case != "generated"),
            args=OSPOConfig(
                scratch,
                **PLAIN,
                **{
                    "max_steps": 3,
                    "per_device_train_batch_size": BATCH // processes // accumulated,
                    "num_generations": GROUP,
                    "max_completion_length": 12 if case == "generated" else 48,
                    "optim": "sgd",
                    "learning_rate": 0.3,
                    "lr_scheduler_type": "constant",
                    "max_grad_norm": 0.0,
                    "ddp_backend": "gloo" if processes > 1 else None,
                    **settings,
                },
            ),
            processing_class=tokenizer,
            callbacks=[weights],
            peft_config=lora_config(4, 8) if case == "adapter" else None,
            rollout_func=None if case == "generated" else Replay(answers(50)),
        )
        trainer.rollouts = []
        before = weights.read(trainer.model)
        if case == "local":
            trainer._redistribute = _own_statistics(trainer, trainer._redistribute)
        trainer.train()
    return {
        "before": before,
        "steps": weights.steps,
        "rollouts": trainer.rollouts,
        "asked": task.counters["asked"],
        "logged": [row for row in trainer.state.log_history if "reward" in row],
    }


def save(directory):
    """Both processes save one policy, and open it: where it is, and whether this process wrote it."""
    tokenizer, written = chat_tokenizer(), []
    model = chat_model(tokenizer)
    save_pretrained = model.save_pretrained
    model.save_pretrained = lambda path, **settings: (written.append(path), save_pretrained(path, **settings))
    save_policy(directory / "policy", model, tokenizer, PromptFormat())
    return load_policy(directory / "policy")[0].name_or_path, len(written)


if __name__ == "__main__":
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    gc.freeze()  # as in the tests' own process
    out = Path(sys.argv[1])
    found = {case: train(case, int(os.environ["WORLD_SIZE"])) for case in CASES}
    found["saved"] = save(out)
    torch.save(found, out / f"rank-{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()
