"""OSPO on TRL's GRPO trainer: the same rollouts, rewards and loss; only the advantages' second dimension is ours.

Two methods of ``trl.GRPOTrainer`` are overridden: where rewards are computed (to value coalitions and keep each
segment's credit) and where a generation batch is finished (to lay the credit on tokens). TRL's loss takes
advantages of shape (B, T) as they are. The mathematics stands in ``agents.credit`` and ``agents.advantages``.

Departures from the published procedure (arXiv 2601.08403): coalitions of a whole batch are valued in one call; credit
is laid on the tokens of the scored span only; the default solution and redistribution are not the published ones
(``agents.advantages.PAPER`` holds those).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from agents.advantages import CreditedRollouts, make_redistribution
from agents.alignment import segment_of_tokens, token_offsets
from agents.credit import make_solution
from agents.errors import unknown
from agents.prompting import PromptFormat
from agents.protocols import Task
from agents.rewards import TaskReward, prompt_dataset
from agents.segments import SEGMENTERS

__all__ = ["OSPOConfig", "OSPOTrainer"]


@dataclass
class OSPOConfig(GRPOConfig):  # type: ignore[misc]  # TRL ships no types
    """``trl.GRPOConfig`` with the four choices that OSPO adds.

    Attributes:
        segmenter: What the players are: a name in ``agents.segments.SEGMENTERS``.
        solution: What gives each its credit: a name in ``agents.credit.SOLUTIONS``.
        solution_settings: Keyword arguments of the solution.
        redistribution: What makes token advantages of it: a name in ``agents.advantages.REDISTRIBUTIONS``.
        redistribution_settings: Keyword arguments of the redistribution.
    """

    segmenter: str = field(default="phrases", metadata={"help": "what the players are"})
    solution: str = field(default="shapley", metadata={"help": "what gives each its credit"})
    solution_settings: dict[str, Any] = field(default_factory=dict, metadata={"help": "settings of the solution"})
    redistribution: str = field(default="additive", metadata={"help": "what makes token advantages of credit"})
    redistribution_settings: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "settings of the redistribution"}
    )


@dataclass(frozen=True)
class _Credited:
    """One rollout after scoring.

    Attributes:
        reward: Worth of the whole rewrite.
        credit: float64 (N,), one a segment.
        segment: int (T,), the segment of each completion token, -1 outside the scored span.
    """

    reward: float
    credit: NDArray[np.float64]
    segment: NDArray[np.int64]


class OSPOTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL ships no types
    """GRPO whose advantages say which segment of the rewrite earned the reward.

    Args:
        model: The policy, a causal LM.
        task: Gives prompts, rewards and coalition values.
        prompt_format: How prompts are put and rewrites found.
        args: Settings.
        processing_class: The policy's tokenizer.
        **trainer_arguments: Passed to ``trl.GRPOTrainer``: ``callbacks``, ``optimizers``, ``peft_config``, ...

    Raises:
        AgentError: A name or a setting of segmenter, solution or redistribution is unknown.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        task: Task,
        prompt_format: PromptFormat,
        args: OSPOConfig,
        processing_class: PreTrainedTokenizerBase,
        **trainer_arguments: Any,
    ) -> None:
        if args.segmenter not in SEGMENTERS:
            raise unknown("segmenter", args.segmenter, SEGMENTERS)
        self.task = task
        self.prompt_format = prompt_format
        self._segment = SEGMENTERS[args.segmenter]
        self._solution = make_solution(args.solution, **args.solution_settings)
        self._redistribute = make_redistribution(args.redistribution, **args.redistribution_settings)
        self._credited: list[_Credited] = []
        super().__init__(
            model=model,
            reward_funcs=[TaskReward(task, prompt_format, processing_class)],
            args=args,
            train_dataset=prompt_dataset(task, prompt_format),
            processing_class=processing_class,
            **trainer_arguments,
        )

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[list[int]],
    ) -> torch.Tensor:
        rewards: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self.model.training:
            self._credited = self._assign_credit([row["prompt_id"] for row in inputs], completion_ids_list)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:
            output["advantages"] = self._token_advantages(output["advantages"], output["completion_mask"])
        return output

    def _assign_credit(self, prompt_ids: Sequence[str], completion_ids: Sequence[list[int]]) -> list[_Credited]:
        """Credit and token segments of this process's rollouts; their coalitions are valued in one call."""
        rewrites, spans, segments = [], [], []
        for ids in completion_ids:
            completion, offsets = token_offsets(self.processing_class, ids)
            answer = self.prompt_format.answer_span(completion)
            start, end = answer or (0, 0)
            rewrites.append(completion[start:end])
            spans.append(self._segment(completion[start:end]))
            segments.append(segment_of_tokens(offsets, spans[-1], start))
        coalitions = [
            self._solution.plan(len(tiles), seed=_content_seed(prompt_id, rewrite))
            for prompt_id, rewrite, tiles in zip(prompt_ids, rewrites, spans, strict=True)
        ]
        # The grand coalition comes last, whatever the solution's plan asks: its worth is the reward.
        asked = [np.vstack([plan, np.ones((1, plan.shape[1]), dtype=bool)]) for plan in coalitions]
        worths = self.task.coalition_values(prompt_ids, rewrites, spans, asked)
        return [
            _Credited(reward=float(worth[-1]), credit=self._solution.solve(plan, worth[:-1]), segment=segment)
            for plan, worth, segment in zip(coalitions, worths, segments, strict=True)
        ]

    def _token_advantages(self, advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Advantages (B, T) of this process's rollouts, from statistics over the rollouts of all processes."""
        local = slice(
            self.accelerator.process_index * len(self._credited),
            (self.accelerator.process_index + 1) * len(self._credited),
        )
        everyone: list[_Credited] = gather_object(self._credited)
        gathered = self.accelerator.gather(advantages).cpu().numpy().astype(np.float64)
        lengths = [len(rollout.segment) for rollout in everyone]
        counts = [len(rollout.credit) for rollout in everyone]
        segment = np.full((len(everyone), max(mask.shape[1], *lengths)), -1, dtype=np.int64)
        tokens = np.zeros(segment.shape, dtype=bool)
        credit = np.full((len(everyone), max(counts)), np.nan)
        for row, rollout in enumerate(everyone):
            segment[row, : lengths[row]] = rollout.segment
            tokens[row, : lengths[row]] = True
            credit[row, : counts[row]] = rollout.credit
        laid = self._redistribute(
            CreditedRollouts(
                advantages=gathered,
                rewards=np.array([rollout.reward for rollout in everyone]),
                credit=credit,
                segment=segment,
                mask=tokens,
                group_size=self.num_generations,
            )
        )
        logged = self._metrics["train"]
        logged["segments"].append(float(np.mean(counts)))
        logged["credit_spread"].append(float(np.nanstd(credit)) if any(counts) else 0.0)
        for name, count in self.task.counters.items():
            logged[f"evaluations/{name}"].append(float(count))
        return torch.from_numpy(laid[local, : mask.shape[1]]).to(advantages) * mask


def _content_seed(prompt_id: str, rewrite: str) -> int:
    """Seed of a sampled plan: decided by what is scored, not by which process scores it."""
    return zlib.crc32(f"{prompt_id}\0{rewrite}".encode(errors="surrogatepass"))
