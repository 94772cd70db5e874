"""OSPO on TRL's GRPO trainer: TRL's rollouts, rewards and loss, with an advantage for each token.

Two methods of ``trl.GRPOTrainer`` are extended: the one that computes rewards (credit is assigned to segments there)
and the one that finishes a generation batch (credit is laid on tokens there). Two more are only timed. TRL's loss takes
advantages of shape (B, T) as they are. The mathematics is in ``ospo_agents.credit`` and ``ospo_agents.advantages``.
Sampling with vLLM, LoRA, KL to a reference, precision and several processes are TRL's; without vLLM rollouts are the
compact ones of ``ospo_agents.compact_rollouts``. Each process values
the coalitions of its own rollouts; statistics of a group are over the rollouts of all processes.

Departures from the published procedure (arXiv 2601.08403):

- Coalitions of a whole batch are valued in one call, so that equal texts are scored once.
- Credit is laid on the characters of the answer, wherever it stands in the completion; reasoning before it, a malformed
  completion and what follows the answer get the plain group advantage.
- Tokens without a letter or digit (commas) get the group advantage too, unless ``credit_separators`` is set.
- Where tools or a ``rollout_func`` write tokens too, the rewrite is read without them, and they get no credit.
- Further reward functions (``reward_funcs``) add their advantage evenly to all tokens; credit is of the task's reward.
- Losses and masks that read one sign of advantage for a whole completion are refused.
- Defaults are sampled Shapley values and ``additive`` advantages; the published choices are
  ``ospo_agents.advantages.PAPER``, without the faults that ``ospo_agents.credit`` and ``ospo_agents.advantages`` name.

Tests cover LoRA, KL, bfloat16 and two processes on CPU, and vLLM with a stand-in for its engine. vLLM itself,
DeepSpeed, FSDP, 4-bit weights and GPUs have not been run.
"""

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from ospo_agents.advantages import READ_ENTROPY, group_relative, make_redistribution
from ospo_agents.assignment import default_segmenter, is_in_turns
from ospo_agents.batches import CreditedCompletion, credit_completions, pad_rows, stack_completions
from ospo_agents.calls import training_calls
from ospo_agents.compact_rollouts import CompactRollouts
from ospo_agents.credit import make_solution
from ospo_agents.errors import AgentError
from ospo_agents.losses import check_loss, check_potential
from ospo_agents.policies.prompt_format import PromptFormat
from ospo_agents.protocols import Task
from ospo_agents.reward_scale import advantage_per_reward
from ospo_agents.segments import make_segmenter
from ospo_agents.timed_steps import TimedSteps
from ospo_agents.trl_task import TaskReward, prompt_dataset

__all__ = ["OSPOConfig", "OSPOTrainer"]

_FIRST_STEPS = 10  # after which rollouts of one segment are spoken of


@dataclass
class OSPOConfig(GRPOConfig):  # type: ignore[misc]  # TRL ships no types
    """``trl.GRPOConfig`` with the settings that OSPO adds.

    Attributes:
        segmenter: Name in ``ospo_agents.segments.SEGMENTERS``; it cuts a rewrite into the players of the game. None
            for :func:`ospo_agents.assignment.default_segmenter`.
        solution: Name in ``ospo_agents.credit.SOLUTIONS``; it divides the reward among the players. The default takes
            no unions, also for episodes in turns: name ``sampled_owen`` for Owen values with turns as unions.
        solution_settings: Keyword arguments of the solution.
        redistribution: Name in ``ospo_agents.advantages.REDISTRIBUTIONS``; it turns credit into token advantages.
        redistribution_settings: Keyword arguments of the redistribution.
        credit_separators: Whether tokens without a letter or digit get their segment's credit too, as published,
            instead of the group advantage (:func:`ospo_agents.alignment.separators` gives the reason for the default).
        calls: Distinct texts of a rewrite that the task scores at most, other worths being estimated; 0 for all. None
            takes :data:`ospo_agents.calls.DEFAULT_CALLS` for a task whose coalitions are not sums.
    """

    segmenter: str | None = field(default=None, metadata={"help": "how a rewrite is cut into segments"})
    solution: str = field(default="sampled_shapley", metadata={"help": "how the reward is divided among segments"})
    solution_settings: dict[str, Any] = field(default_factory=dict, metadata={"help": "settings of the solution"})
    redistribution: str = field(default="additive", metadata={"help": "how credit becomes token advantages"})
    redistribution_settings: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "settings of the redistribution"}
    )
    calls: int | None = field(default=None, metadata={"help": "texts of a rewrite that are scored at most, 0 for all"})
    credit_separators: bool = field(default=False, metadata={"help": "lay credit on punctuation too"})


@dataclass(frozen=True)
class _TimedTask:
    """Coalition values of a task; the time that they take counts as scoring."""

    task: Task
    timed: Callable[[str], contextlib.AbstractContextManager[None]]

    @property
    def linear(self) -> bool:
        """Whether the task's coalitions are sums; only asked where calls are bounded."""
        return bool(getattr(self.task, "linear", False))

    @property
    def in_turns(self) -> bool:
        """Whether the task's texts are episodes."""
        return is_in_turns(self.task)

    def scored(self, *arguments: Any) -> NDArray[np.int64]:
        """The task's own lengths."""
        return self.task.scored(*arguments)

    def coalition_values(self, *arguments: Any, **bounds: Any) -> list[NDArray[np.float64]]:
        """The task's own values."""
        with self.timed("scoring"):
            return self.task.coalition_values(*arguments, **bounds)


class OSPOTrainer(TimedSteps, CompactRollouts, GRPOTrainer):  # type: ignore[misc]  # TRL ships no types
    """GRPO with advantages that follow the credit of each segment of the rewrite.

    Each step logs, beside TRL's metrics: ``segments`` a rollout, ``one_segment`` (the share of rollouts of several
    words in one segment, which credit cannot tell apart), ``credit_spread``, ``over_budget`` (rollouts with
    more segments than the solution's budget allows, credited by an estimate), ``owen_equals_shapley`` (with a solution
    that has unions: the share of rollouts whose unions make no difference), ``over_calls`` (where calls are
    bounded: rollouts with so many segments that they got more), ``evaluations/*`` since the start in all
    processes, and this process's seconds: ``time/generation``, ``time/scoring`` (rewards and coalitions),
    ``time/credit`` (segments, solution, advantages) and ``time/update`` (the rest of TRL's ``step_time``: reference and
    old log-probabilities, forward, backward; the optimiser's own step lies outside it).

    Args:
        model: The policy, a causal LM. For ``beta`` above 0 without an adapter, TRL reads the reference from the
            directory or hub id in the model's ``name_or_path``, which
            :func:`ospo_agents.policies.language_model.save_policy` keeps up to date.
        task: Source of prompts, rewards and coalition values.
        prompt_format: Conversation made of a prompt, and place of the rewrite in a completion.
        args: Settings of TRL and of OSPO.
        processing_class: The policy's tokenizer.
        reward_funcs: Reward functions of TRL's kind beside the task's own, which is the first of
            ``args.reward_weights``. Their advantage is the same on all tokens of a completion.
        **trainer_arguments: Passed to ``trl.GRPOTrainer``: ``callbacks``, ``optimizers``, ``peft_config``, ...

    Raises:
        AgentError: ``task`` or ``args`` is of another kind, a name or a setting of segmenter, solution or
            redistribution is unknown, the loss does not go with them, importance is sampled by sequence, or ``beta``
            asks for a reference and the policy was never saved.
    """

    stages = ("generation", "scoring", "credit", "update")

    def __init__(
        self,
        model: PreTrainedModel,
        task: Task,
        prompt_format: PromptFormat,
        args: OSPOConfig,
        processing_class: PreTrainedTokenizerBase,
        reward_funcs: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
        **trainer_arguments: Any,
    ) -> None:
        _check_kinds(task, args, trainer_arguments)
        further = [reward_funcs] if callable(reward_funcs) else list(reward_funcs)
        usual = default_segmenter(args.solution, in_turns=is_in_turns(task))
        segmenter = usual if args.segmenter is None else args.segmenter
        make_segmenter(segmenter)
        check_loss(args.loss_type, args.off_policy_mask_threshold)
        check_potential(args.redistribution, args.solution, args.loss_type, args.beta, _spelt)
        if further and args.redistribution == "potential":
            raise AgentError(
                "redistribution potential keeps the policy gradient only of the task's reward, but got reward_funcs too"
            )
        if args.importance_sampling_level != "token":
            raise AgentError(
                f"expected importance_sampling_level 'token', but got {args.importance_sampling_level!r}: "
                "one ratio for a whole sequence would spread credit evenly over its tokens"
            )
        adapted = isinstance(model, PeftModel) or trainer_arguments.get("peft_config") is not None
        if args.beta and not adapted and not model.name_or_path:
            raise AgentError(
                f"beta {args.beta} needs a reference, which is read from disk, but the policy was never saved; "
                "call ospo_agents.policies.language_model.save_policy first"
            )
        self.task = task
        self.prompt_format = prompt_format
        self.prompt_ids: list[str] = []  # of the batch that is drawn, for a ``rollout_func``
        self._segmenter = segmenter
        self._told_of_unions = False
        self._single: list[float] = []
        self._calls = training_calls(task, args.calls)
        self._solution = make_solution(args.solution, **args.solution_settings)
        self._redistribute = make_redistribution(args.redistribution, **args.redistribution_settings)
        self._completions: list[CreditedCompletion] = []
        self._generated: list[list[int]] | None = None
        super().__init__(
            model=model,
            reward_funcs=[TaskReward(task, prompt_format, processing_class), *further],
            args=args,
            train_dataset=prompt_dataset(task, prompt_format),
            processing_class=processing_class,
            **trainer_arguments,
        )

    def _generate(self, prompts: list[Any]) -> Any:
        output = super()._generate(prompts)
        self._generated = output[2]  # 0 where a tool or an environment wrote a token
        return output

    def _calculate_rewards(
        self,
        inputs: list[dict[str, Any]],
        prompts: list[Any],
        completions: list[Any],
        completion_ids_list: list[list[int]],
    ) -> torch.Tensor:
        rows = inputs
        if self._generated is not None:
            rows = [{**row, "generated": mask} for row, mask in zip(inputs, self._generated, strict=True)]
        rewards: torch.Tensor = super()._calculate_rewards(rows, prompts, completions, completion_ids_list)
        self._rewards = rewards
        if self.model.training:
            with self._timed("credit"):
                self._completions = self._credit([row["prompt_id"] for row in inputs], completion_ids_list)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.prompt_ids = [row["prompt_id"] for row in inputs]
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:
            with self._timed("credit"):
                output["advantages"] = self._token_advantages(output)
        return output

    def _credit(self, prompt_ids: Sequence[str], completion_ids: Sequence[list[int]]) -> list[CreditedCompletion]:
        """Completions of this process, with the credit of their segments."""
        completions = credit_completions(
            _TimedTask(self.task, self._timed),
            prompt_ids,
            completion_ids,
            self.processing_class,
            self.prompt_format.answer_span,
            segmenter=self._segmenter,
            solution=self._solution,
            credit_separators=self.args.credit_separators,
            calls=self._calls or None,
            generated=self._generated,
        )
        over = sum(one.solution != self._solution.name for one in completions)
        self._metrics["train"]["over_budget"].append(float(over))
        if self._calls:
            over = sum((one.calls or 0) > self._calls for one in completions)
            self._metrics["train"]["over_calls"].append(float(over))
        if self._solution.needs_unions and completions:
            self._log_unions(completions)
        return completions

    def _token_advantages(self, output: dict[str, Any]) -> torch.Tensor:
        """Advantages (B, T) of this process's rollouts, from statistics over the rollouts of all processes."""
        advantages: torch.Tensor = output["advantages"]
        mask: torch.Tensor = output["completion_mask"]
        first = self.accelerator.process_index * len(self._completions)
        everyone: list[CreditedCompletion] = gather_object(self._completions)
        gathered = self.accelerator.gather(advantages).cpu().numpy().astype(np.float64)
        group = np.arange(len(everyone)) // self.num_generations
        own, per_reward = self._own_advantages(gathered, np.array([one.reward for one in everyone]), group)
        width = mask.shape[1]
        longest = max(width, *(len(one.token_ids) for one in everyone))
        rollouts = stack_completions(
            everyone,
            own,
            group,
            width=width,
            per_reward=per_reward,
            entropy=self._entropy(output, longest) if self.args.redistribution in READ_ENTROPY else None,
        )
        token_advantages = self._redistribute(rollouts)
        if own is not gathered:
            token_advantages = np.where(rollouts.mask, token_advantages + (gathered - own)[:, None], 0.0)
        self._log(rollouts.credit)
        self._log_single(everyone)
        local = token_advantages[first : first + len(self._completions), :width]
        return torch.from_numpy(local).to(advantages) * mask

    def _entropy(self, output: dict[str, Any], width: int) -> NDArray[np.float64]:
        """Entropy of the policy at each token of all processes' rollouts, float64 (B, width); 0 behind their ends."""
        completions = output["completion_ids"]
        with torch.no_grad():
            _, entropies, *_ = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([output["prompt_ids"], completions], dim=1),
                torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1),
                completions.shape[1],
                batch_size=self.args.per_device_train_batch_size,
                compute_entropy=True,
            )
        local = (entropies * output["completion_mask"]).double().cpu().numpy()
        return pad_rows(gather_object(list(local)), padding=0.0, width=width)

    def _own_advantages(
        self, advantages: NDArray[np.float64], rewards: NDArray[np.float64], group: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The part of the advantages (B,) that the task's reward has, and by how much they rise with it (B,)."""
        alone = len(self.reward_funcs) == 1
        if alone and (self.scale_rewards, self.multi_objective_aggregation) == ("group", "sum_then_normalize"):
            return advantages, None
        per_reward = advantage_per_reward(
            self._rewards.cpu().numpy().astype(np.float64),
            self.reward_weights.cpu().numpy().astype(np.float64),
            group,
            self.scale_rewards,
            self.multi_objective_aggregation,
        )
        return advantages if alone else per_reward * group_relative(rewards, group, scale=False), per_reward

    def _log_unions(self, completions: Sequence[CreditedCompletion]) -> None:
        """Log the share of rollouts for which Owen values are Shapley values; a step of nothing else is said once.

        Episodes in turns that have one turn are as they should be.
        """
        equal = [not one.unions_matter for one in completions]
        self._metrics["train"]["owen_equals_shapley"].append(sum(equal) / len(equal))
        if all(equal) and not self._told_of_unions and not is_in_turns(self.task):
            self._told_of_unions = True
            warnings.warn(
                f"{self._solution.name} with the segmenter {self._segmenter}: no rollout of this step has two unions, "
                "one of them of several segments, so Owen credit equals Shapley credit; segmenter words-in-phrases has "
                "the finest unions",
                stacklevel=2,
            )

    def _log_single(self, completions: Sequence[CreditedCompletion]) -> None:
        """Log the share of rollouts of several words in one segment; said where most of the first steps' are."""
        share = sum(len(one.phrases) == 1 and " " in one.phrases[0] for one in completions) / max(len(completions), 1)
        self._metrics["train"]["one_segment"].append(share)
        if len(self._single) == _FIRST_STEPS:
            return
        self._single.append(share)
        mean = sum(self._single) / len(self._single)
        if len(self._single) == _FIRST_STEPS and mean > 0.5:
            warnings.warn(
                f"{mean:.0%} of the rollouts of {_FIRST_STEPS} steps are several words in one segment, which credit "
                "cannot tell apart; segmenter words cuts finer",
                stacklevel=2,
            )

    def _log(self, credit: NDArray[np.float64]) -> None:
        """Log segments a rollout, spread of credit, and evaluations since training began."""
        logged = self._metrics["train"]
        values = credit[~np.isnan(credit)]
        logged["segments"].append(len(values) / len(credit))
        logged["credit_spread"].append(float(values.std()) if len(values) else 0.0)
        counters: list[dict[str, int]] = gather_object([dict(self.task.counters)])
        for name in counters[0]:
            logged[f"evaluations/{name}"].append(float(sum(count[name] for count in counters)))


def _spelt(name: str) -> str:
    """TRL's name of a setting."""
    return "beta" if name == "kl" else name


def _check_kinds(task: Any, args: Any, trainer_arguments: Mapping[str, Any]) -> None:
    """Refuse what stands in the place of a task or of OSPO's settings, and arguments that this trainer fills."""
    if not isinstance(task, Task):
        hint = "; pass env.unwrapped.task" if hasattr(task, "step") and hasattr(task, "reset") else ""
        kind = "an environment" if hint else type(task).__name__
        raise AgentError(f"expected a task (ospo_agents.protocols.Task), but got {kind}{hint}")
    if not isinstance(args, OSPOConfig):
        raise AgentError(
            f"expected args as an OSPOConfig, which has the fields of GRPOConfig and those of credit, but got "
            f"{type(args).__name__}"
        )
    if "train_dataset" in trainer_arguments:
        raise AgentError("train_dataset is made of the task's prompts; leave it out")
