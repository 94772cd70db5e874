"""A table of rewrites with the credit of their segments, at each evaluation of a trainer, in its trackers.

TensorBoard gets it as text, trackio and Weights & Biases as a table; curves are TRL's own. What is written does not
leave the machine unless a tracker is told to send it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from ospo_agents.assignment import assign_credit
from ospo_agents.errors import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task

__all__ = ["COLUMNS", "CreditTable", "credit_rows", "log_credit"]

COLUMNS = ("prompt", "rewrite", "reward", "credit")
"""Columns of the table; credit is each segment with its share, in order."""


class CreditRow(NamedTuple):
    """A rewrite and what its segments earned."""

    prompt: str
    rewrite: str
    reward: float
    credit: str


def credit_rows(
    task: Task, prompt_ids: Sequence[str], prompts: Sequence[str], rewrites: Sequence[str]
) -> list[CreditRow]:
    """Rows of the table, from one call of the task.

    Args:
        task: Values subsets of a rewrite's segments.
        prompt_ids: The prompt that each rewrite answers, length B, as are the next two.
        prompts: Their texts.
        rewrites: The rewrites.

    >>> class Halves:  # each of two words is worth a half
    ...     def coalition_values(self, prompt_ids, texts, spans, coalitions):
    ...         return [rows.sum(axis=1) / 2 for rows in coalitions]
    >>> credit_rows(Halves(), ["q1"], ["i need red shoes"], ["red, shoes"])[0].credit
    'red, +0.500 | shoes +0.500'
    """
    credited = assign_credit(task, prompt_ids, rewrites, over_budget="sample")
    return [
        CreditRow(
            prompt,
            one.text,
            one.worth,
            " | ".join(
                f"{one.text[start:end].strip()} {share:+.3f}"
                for (start, end), share in zip(one.spans, one.credit, strict=True)
            ),
        )
        for prompt, one in zip(prompts, credited, strict=True)
    ]


class CreditTable(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
    """Logs greedy rewrites of the first prompts of a split after each evaluation of a trainer.

    Args:
        trainer: The trainer, whose ``args.report_to`` says where to.
        task: The task.
        prompt_format: The policy's.
        split: Split of the prompts.
        prompts: Number of prompts, the first of the split.

    Raises:
        AgentError: The split has no prompts, or their number is below 1.
    """

    def __init__(
        self, trainer: Any, task: Task, prompt_format: PromptFormat, split: str = "validation", prompts: int = 8
    ) -> None:
        ids, texts = task.prompts(split)
        if not ids or prompts < 1:
            raise AgentError(f"expected at least one prompt of the split {split!r}, but got {min(len(ids), prompts)}")
        self._trainer, self._task, self._format = trainer, task, prompt_format
        self._ids, self._texts = ids[:prompts], texts[:prompts]

    def on_evaluate(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
        """Rewrite, assign credit, log; on the first process alone."""
        if not state.is_world_process_zero:
            return
        trainer = self._trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        training = model.training
        policy = LanguageModelPolicy(
            model, trainer.processing_class, self._format, max_new_tokens=args.max_completion_length
        )
        rewrites = policy(self._ids, self._texts)
        model.train(training)
        log_credit(trainer, credit_rows(self._task, self._ids, self._texts, rewrites), state.global_step)


def log_credit(trainer: Any, rows: Sequence[CreditRow], step: int) -> None:
    """Hand rows to the trackers of a trainer that know tables.

    Args:
        trainer: A transformers trainer.
        rows: The rows.
        step: The step that they belong to.
    """
    reporters = set(trainer.args.report_to)
    if "tensorboard" in reporters:
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
                callback.tb_writer.add_text("rewrites", _markdown(rows), step)
    data = [list(row) for row in rows]
    if "wandb" in reporters:
        import wandb

        if wandb.run is not None:
            wandb.run.log({"rewrites": wandb.Table(columns=list(COLUMNS), data=data), "train/global_step": step})
    if "trackio" in reporters:
        import trackio

        trackio.log({"rewrites": trackio.Table(columns=list(COLUMNS), data=data)}, step=step)


def _markdown(rows: Sequence[CreditRow]) -> str:
    """The rows as a table of Markdown; a bar would part a cell."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS)]
    lines += [[row.prompt, row.rewrite, f"{row.reward:.3f}", row.credit] for row in rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
