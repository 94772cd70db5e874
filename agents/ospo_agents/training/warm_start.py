"""Supervised warm start on a task's demonstrations, with TRL's own trainer."""

from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from ospo_agents.compact_rollouts import add_compact_head, causal_lm
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task
from ospo_agents.trl_task import demonstration_dataset

__all__ = ["warm_start"]


def warm_start(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    prompt_format: PromptFormat,
    *,
    out: Path,
    epochs: float,
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    seed: int = 0,
    callbacks: list[TrainerCallback] | None = None,
    **settings: Any,
) -> float:
    """Fit the model to the demonstrations; it is changed in place.

    Args:
        model: The policy. It forgets where it was read from: :func:`ospo_agents.policies.language_model.save_policy`
            names it again.
        tokenizer: Its tokenizer, with a chat template.
        task: Gives prompts and demonstrations.
        prompt_format: Form of prompts and completions.
        out: Scratch directory of the trainer.
        epochs: Passes over the demonstrations, above 0.
        learning_rate: Peak; it decays linearly to 0.
        batch_size: Demonstrations a step.
        seed: Seed of the demonstrations' order.
        callbacks: Passed to the trainer.
        settings: Further fields of ``trl.SFTConfig``.

    Returns:
        Mean loss over the run, in nats a token.
    """
    config = SFTConfig(
        output_dir=str(out),
        num_train_epochs=epochs,
        learning_rate=learning_rate,
        per_device_train_batch_size=batch_size,
        max_length=512,
        seed=seed,
        save_strategy="no",
        **{"report_to": [], **settings},
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=demonstration_dataset(task, prompt_format),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    add_compact_head(causal_lm(trainer.model), accuracy=True)
    trainer.remove_callback(PrinterCallback)  # the caller's callbacks show progress
    loss = float(trainer.train().training_loss)
    if not isinstance(model, PeftModel):  # these weights are no longer those on disk that the model is named after
        model.config.name_or_path = model.name_or_path = ""
    return loss
