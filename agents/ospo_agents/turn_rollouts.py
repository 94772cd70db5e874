"""Rollouts in turns for ``OSPOTrainer``: TRL's ``rollout_func`` that plays whole episodes of a task.

The trainer reads the policy's own tokens, which are the text of the episode, and credits its phrases; tokens of replies
are masked. So nothing in the trainer knows of turns but its segmenter.
"""

from collections.abc import Sequence
from typing import Any

from ospo_agents.compact_rollouts import causal_lm
from ospo_agents.errors import AgentError
from ospo_agents.policies.generation import generation_settings
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.policies.turns import write_turns
from ospo_agents.protocols import ReplyTask

__all__ = ["TurnRollouts"]


class TurnRollouts:
    """Episodes of a trainer's policy: ``OSPOTrainer(..., rollout_func=TurnRollouts(task, prompt_format))``.

    Args:
        task: A task in turns, such as ``gymnasium.make("OSPO-Search-v0").unwrapped.task``.
        prompt_format: Form of its prompts, without answer tags: a completion is lines and nothing else.
        max_turn_tokens: Tokens of a line at most. The trainer's ``max_completion_length`` bounds nothing here.

    Raises:
        AgentError: The task is not in turns, or the format has answer tags.
    """

    def __init__(self, task: object, prompt_format: PromptFormat, max_turn_tokens: int = 32) -> None:
        if not isinstance(task, ReplyTask):
            raise AgentError(f"expected a task in turns that gives replies, but got {type(task).__name__}")
        if prompt_format.answer_tags:
            raise AgentError("expected a prompt format without answer tags: in turns a completion is lines of searches")
        self._task, self._tokens = task, max_turn_tokens

    def __call__(self, prompts: Sequence[list[dict[str, str]]], trainer: Any) -> dict[str, Any]:
        """Play an episode for each prompt of the trainer's batch, as TRL asks."""
        tokenizer = trainer.processing_class
        ids = trainer.prompt_ids
        contexts = tokenizer.apply_chat_template(list(prompts), add_generation_prompt=True)["input_ids"]
        model = causal_lm(trainer.accelerator.unwrap_model(trainer.model_wrapped))
        settings = generation_settings(
            model, tokenizer, max_new_tokens=self._tokens, temperature=trainer.args.temperature
        )
        with trainer.accelerator.autocast():
            episodes = write_turns(
                model,
                tokenizer,
                contexts,
                lambda rows, turns: self._task.replies([ids[row] for row in rows], turns),
                max_turns=self._task.max_turns,
                settings=settings,
            )
        return {
            "prompt_ids": contexts,
            "completion_ids": [episode.token_ids for episode in episodes],
            "env_mask": [episode.generated for episode in episodes],
            "logprobs": None,
        }
