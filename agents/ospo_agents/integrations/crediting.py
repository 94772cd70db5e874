"""Settings by which an adapter credits the completions of its trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ospo_agents.assignment import default_segmenter, is_in_turns
from ospo_agents.batches import CreditedCompletion, credit_completions
from ospo_agents.calls import training_calls
from ospo_agents.credit import make_solution
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task
from ospo_agents.segments import make_segmenter

__all__ = ["Crediting"]


@dataclass(frozen=True)
class Crediting:
    """A task and the choices of credit, with the defaults of :class:`ospo_agents.trainer.OSPOConfig`.

    Attributes:
        task: Values rewrites and subsets of their segments: ``env.unwrapped.task``.
        prompt_format: Conversation made of a prompt, and place of the rewrite in a completion.
        segmenter: Name in ``ospo_agents.segments.SEGMENTERS``; None for
            :func:`ospo_agents.assignment.default_segmenter`.
        solution: Name in ``ospo_agents.credit.SOLUTIONS``.
        solution_settings: Keyword arguments of the solution.
        credit_separators: Whether tokens without a letter or digit get their segment's credit too.
        calls: Distinct texts of a rewrite that the task scores at most, 0 for all; None for
            :func:`ospo_agents.calls.training_calls`.

    Raises:
        AgentError: A name or a setting is unknown, or the task takes no bound on its calls.
    """

    task: Task
    prompt_format: PromptFormat
    segmenter: str | None = None
    solution: str = "sampled_shapley"
    solution_settings: Mapping[str, Any] = field(default_factory=dict)
    credit_separators: bool = False
    calls: int | None = None

    def __post_init__(self) -> None:
        make_segmenter(self._segmenter)
        make_solution(self.solution, **self.solution_settings)
        training_calls(self.task, self.calls)

    @property
    def _segmenter(self) -> str:
        return self.segmenter or default_segmenter(self.solution, in_turns=is_in_turns(self.task))

    def reward(self, prompt_id: str, completion: str) -> float:
        """Reward of a decoded completion; 0 where it holds no rewrite."""
        rewrite = self.prompt_format.rewrite(completion)
        return 0.0 if rewrite is None else float(self.task.rewards([prompt_id], [rewrite])[0])

    def credit(
        self,
        tokenizer: Any,
        prompt_ids: Sequence[str],
        completion_ids: Sequence[list[int]],
        generated: Sequence[Sequence[int]] | None = None,
    ) -> list[CreditedCompletion]:
        """Completions with the credit of their segments (:func:`ospo_agents.credit_completions`); one call of the task.

        Args:
            tokenizer: A transformers tokenizer.
            prompt_ids: The prompt that each completion answers, length B.
            completion_ids: Tokens of the completions, length B.
            generated: 0 for the tokens of each that a tool wrote, else 1; None for all.
        """
        return credit_completions(
            self.task,
            prompt_ids,
            completion_ids,
            tokenizer,
            self.prompt_format.answer_span,
            segmenter=self._segmenter,
            solution=make_solution(self.solution, **self.solution_settings),
            credit_separators=self.credit_separators,
            calls=training_calls(self.task, self.calls) or None,
            generated=generated,
        )
