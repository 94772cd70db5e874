"""Search in turns by the tiny policy: one turn, two, and two whose titles are hidden, on the embedded shop.

The policy of each arm and seed is warm-started on demonstrations and trained by OSPO, with the same number of steps and
rollouts: one search an episode, or two, of which the second may read the titles of the first. Owen values with turns as
unions credit the phrases. Test episodes are played greedily and sampled.
"""

import json
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents.files import write_atomically
from ospo_cli._study.numbers import crossed_interval
from ospo_cli._study.processes import run_all
from ospo_cli._tasks import open_search_task
from ospo_cli._terminal import say
from ospo_env import SearchTask
from ospo_env.turns.agents import AGENTS, play_episodes

__all__ = ["ARMS", "TurnCell", "table", "turns", "work"]

WHAT = "turns"
"""Name of the part, which its jobs carry."""

KINDS = ("greedy", "sampled")
_ENV = "OSPO-ESCI-v0"
_GROUP, _TURN_TOKENS = 8, 32


class Arm(NamedTuple):
    """A way of searching.

    Attributes:
        about: Words for the table.
        max_turns: Searches of an episode at most.
        shown: Titles that are read after a search.
    """

    about: str
    max_turns: int
    shown: int


ARMS: Mapping[str, Arm] = {
    "one": Arm("one turn", 1, 3),
    "two": Arm("two turns", 2, 3),
    "blind": Arm("two turns, titles hidden", 2, 0),
}
"""Ways of searching by name."""


@dataclass(frozen=True)
class TurnCell:
    """One training run.

    Attributes:
        arm: A name in :data:`ARMS`.
        seed: Seed of weights, data and rollouts.
        steps: Optimiser steps.
        rollouts: Episodes a step.
        learning_rate: Rate of the optimiser.
        epochs: Passes over the demonstrations.
        queries: Test queries, the first ones.
    """

    arm: str
    seed: int
    steps: int
    rollouts: int = 64
    learning_rate: float = 3e-4
    epochs: float = 3.0
    queries: int = 300

    def path(self, out: Path) -> Path:
        """File of the run's episodes."""
        run = f"{self.arm}-lr{self.learning_rate:g}-seed{self.seed}-steps{self.steps}x{self.rollouts}"
        return out / f"turns-{run}-test.json"

    def task(self) -> SearchTask:
        """The task of the arm."""
        arm = ARMS[self.arm]
        return open_search_task(_ENV, None, max_turns=arm.max_turns, shown=arm.shown)


class _Demonstrations:
    """Demonstrations of an arm: rewrites, and with two turns also pairs of one query with what is read between them.

    Pairs alone make a worse first search than rewrites do: most of their tokens are titles.
    """

    def __init__(self, task: SearchTask) -> None:
        self._task = task

    def prompts(self, split: str) -> tuple[list[str], list[str]]:
        """Prompts of the task."""
        return self._task.prompts(split)

    def texts(self) -> Iterator[str]:
        """Texts of the task."""
        return self._task.texts()

    def demonstrations(self) -> list[tuple[str, str]]:
        """Pairs of a prompt id and what the policy is to write, with replies."""
        pairs = self._task.retrieval.demonstrations()
        of_query: dict[str, list[str]] = {}
        for query_id, text in pairs:
            of_query.setdefault(query_id, []).append(text)
        twice = [
            (query_id, texts[number], texts[(number + 1) % len(texts)])
            for query_id, texts in of_query.items()
            for number in range(len(texts))
            if len(texts) > 1
        ]
        if self._task.max_turns == 1:  # as many rows, so that all arms start from as many steps
            return [*pairs, *((query_id, text) for query_id, text, _ in twice)]
        replies = self._task.replies([one[0] for one in twice], [one[1] for one in twice])
        both = [(one[0], f"{one[1]}\n{reply}{one[2]}") for one, reply in zip(twice, replies, strict=True)]
        return [*pairs, *both]


def turns(arguments: Namespace, command: Sequence[str]) -> None:
    """Train what is missing and print the table.

    Args:
        arguments: As ``ospo study`` parses them.
        command: The program that calls :func:`work` when it is given ``--cell``.
    """
    queries, rollouts = (60, 16) if arguments.quick else (300, 64)
    cells = [
        TurnCell(
            arm, seed, arguments.steps, rollouts, arguments.learning_rate, 1.0 if arguments.quick else 3.0, queries
        )
        for seed in range(arguments.seeds)
        for arm in ARMS
    ]
    missing = [cell for cell in cells if not cell.path(arguments.out).is_file()]
    about = {"part": WHAT, "what": "search in turns", "task": "shopping"}
    jobs = [json.dumps({**about, "method": cell.arm, **asdict(cell)}) for cell in missing]
    run_all(command, arguments.out, jobs, arguments.processes, "turns")
    say()
    say(table([json.loads(cell.path(arguments.out).read_bytes()) for cell in cells], *_scripted(queries)))


def work(job: Mapping[str, Any], out: Path) -> None:
    """Train one cell in this process and write its episodes."""
    cell = TurnCell(**{one.name: job[one.name] for one in fields(TurnCell)})
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(cell.path(out), json.dumps(_trained(cell)).encode() + b"\n")


def _trained(cell: TurnCell) -> dict[str, Any]:
    # Slow to import, and not needed where tables are printed.
    import torch
    from transformers import PrinterCallback

    from ospo_agents.policies.prompt_format import PromptFormat
    from ospo_agents.policies.tiny import tiny_model, tiny_tokenizer
    from ospo_agents.trainer import OSPOConfig, OSPOTrainer
    from ospo_agents.training.warm_start import warm_start
    from ospo_agents.turn_rollouts import TurnRollouts

    torch.set_num_threads(1)
    task, form = cell.task(), PromptFormat()
    tokenizer = tiny_tokenizer(task.texts())
    model = tiny_model(tokenizer, seed=cell.seed)
    common: dict[str, Any] = {
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": [],
        "disable_tqdm": True,
        "seed": cell.seed,
    }
    with tempfile.TemporaryDirectory() as scratch:
        demonstrations: Any = _Demonstrations(task)
        warm_start(model, tokenizer, demonstrations, form, out=Path(scratch) / "warm", epochs=cell.epochs, **common)
        start = _played(cell, task, model, tokenizer, form)
        config = OSPOConfig(
            str(Path(scratch) / "run"),
            max_steps=cell.steps,
            per_device_train_batch_size=cell.rollouts,
            num_generations=_GROUP,
            max_completion_length=_TURN_TOKENS * task.max_turns,
            learning_rate=cell.learning_rate,
            lr_scheduler_type="constant",
            loss_type="dr_grpo",
            beta=0.0,
            solution="owen",
            logging_steps=1,
            save_strategy="no",
            **common,
        )
        trainer = OSPOTrainer(model, task, form, config, tokenizer, rollout_func=TurnRollouts(task, form, _TURN_TOKENS))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    learned = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    end = _played(cell, task, model, tokenizer, form)
    return {**asdict(cell), "price": task.price, "rewards": learned, "start": start, "end": end}


def _played(cell: TurnCell, task: SearchTask, model: Any, tokenizer: Any, form: Any) -> dict[str, Any]:
    """Rewards, metrics and numbers of searches of test episodes, greedy and sampled."""
    from ospo_agents.policies.generation import evaluating, generation_settings
    from ospo_agents.policies.turns import write_turns

    ids, prompts = (some[: cell.queries] for some in task.prompts("test"))
    contexts = tokenizer.apply_chat_template([form.messages(one) for one in prompts], add_generation_prompt=True)
    played = {}
    for kind, temperature in zip(KINDS, (0.0, 1.0), strict=True):
        settings = generation_settings(model, tokenizer, max_new_tokens=_TURN_TOKENS, temperature=temperature)
        with evaluating(model, cell.seed):
            episodes = write_turns(
                model,
                tokenizer,
                contexts["input_ids"],
                lambda rows, written: task.replies([ids[row] for row in rows], written),
                max_turns=task.max_turns,
                settings=settings,
            )
        texts = [form.rewrite(tokenizer.decode(one.own, skip_special_tokens=True)) or "" for one in episodes]
        played[kind] = {
            "rewards": task.rewards(ids, texts).tolist(),
            "metrics": task.metric_values(ids, texts).tolist(),
            "searches": [one.turns for one in episodes],
        }
    return played


def _scripted(queries: int) -> tuple[dict[str, NDArray[np.float64]], str]:
    """Rewards of the scripted agents on the test queries, and the name of the metric."""
    task = open_search_task(_ENV, None)
    ids, prompts = (some[:queries] for some in task.prompts("test"))
    played = {name: play_episodes(task, ids, prompts, agent) for name, agent in AGENTS.items()}
    return {name: task.rewards(ids, [one.episode for one in some]) for name, some in played.items()}, task.metric


def table(
    cells: Sequence[Mapping[str, Any]], scripted: Mapping[str, NDArray[np.float64]], metric: str = "nDCG@10"
) -> str:
    """Rewards of each arm and kind, and their differences to one turn, paired by seed and query.

    Args:
        cells: Finished cells.
        scripted: Rewards of scripted agents, float64 (queries,), by name.
        metric: Name of the metric.
    """
    seeds, steps = len({cell["seed"] for cell in cells}), cells[0]["steps"]
    lines = [
        f"search in turns on the embedded shop: {seeds} seeds, {steps} steps of {cells[0]['rollouts']} episodes",
        f"reward: the best {metric} of an episode less {cells[0]['price']:g} a search",
        "",
        f"{'test episodes':<34} {'reward':>8} {metric:>9} {'searches':>9}   less one turn's reward [95 %]",
    ]
    for name, rewards in scripted.items():
        lines.append(f"{'scripted agent ' + name:<34} {rewards.mean():>8.3f}")
    for kind in KINDS:
        lines.append(f"{kind}")
        one = _stacked(cells, "one", "end", kind, "rewards")
        for stage in ("start", "end"):
            for name, arm in ARMS.items():
                rewards = _stacked(cells, name, stage, kind, "rewards")
                means = [_stacked(cells, name, stage, kind, what).mean() for what in ("metrics", "searches")]
                row = f"  {arm.about + (', warm start' if stage == 'start' else ''):<32} {rewards.mean():>8.3f} "
                row += f"{means[0]:>9.3f} {means[1]:>9.2f}"
                if stage == "end" and name != "one":
                    gain = crossed_interval(rewards - one)
                    row += f"   {gain.value:+.3f} {gain.bounds('+.3f')}"
                lines.append(row)
    return "\n".join(lines)


def _stacked(cells: Sequence[Mapping[str, Any]], arm: str, stage: str, kind: str, what: str) -> NDArray[np.float64]:
    """A number of each episode of an arm, float64 (seeds, queries)."""
    rows = sorted((cell for cell in cells if cell["arm"] == arm), key=lambda cell: int(cell["seed"]))
    return np.array([cell[stage][kind][what] for cell in rows], dtype=np.float64)
