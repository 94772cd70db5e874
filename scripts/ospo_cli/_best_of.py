"""The policy ``best-of:G:POLICY``: G sampled rewrites a query, of which the reward chooses one.

The reward reads the judgements of the very queries that are evaluated, so this is a reference to compare with and no
policy to deploy. It chooses under the retriever of the policy's training, once: the other retrievers rank what it chose
and stay unseen.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ospo_agents import AgentError
from ospo_env import RetrievalTask

__all__ = ["BEST_OF", "choose", "draw_seeds", "parse_best_of", "remark", "share_of_progress"]

BEST_OF = "best-of:"
_MOST = 1024


def parse_best_of(name: str) -> tuple[int, str]:
    """The count and the policy of a name.

    Raises:
        AgentError: The count is no whole number from 2 to 1,024, or no policy is named.

    >>> parse_best_of("best-of:4:openai:gpt-4o")
    (4, 'openai:gpt-4o')
    """
    count, _, policy = name.removeprefix(BEST_OF).partition(":")
    if not (count.isascii() and count.isdecimal() and len(count) <= 4 and 2 <= int(count) <= _MOST):
        raise AgentError(
            f"--policy {name[:80]}: expected {BEST_OF}G:POLICY with G from 2 to {_MOST}, got {count[:9]!r}"
        )
    if not policy:
        raise AgentError(f"--policy {name[:80]}: expected a policy too, for example {BEST_OF}{count}:runs/demo")
    return int(count), policy


def draw_seeds(seed: int, count: int) -> list[int]:
    """Seeds of ``count`` draws, in [0, 2^31), all different.

    >>> draw_seeds(0, 2) == draw_seeds(0, 3)[:2] != draw_seeds(1, 2)
    True
    """
    seeds: dict[int, None] = {}
    rng = np.random.default_rng(seed)
    while len(seeds) < count:
        seeds.setdefault(int(rng.integers(2**31)))
    return list(seeds)


def choose(task: RetrievalTask, ids: Sequence[str], draws: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """The text of the highest reward for each prompt, the first among equals.

    Args:
        task: The task whose reward chooses.
        ids: B prompts.
        draws: G lists of B texts.

    Returns:
        B texts, and the number of different pairs of prompt and text that were valued.
    """
    pairs = list(
        dict.fromkeys((prompt_id, text) for texts in draws for prompt_id, text in zip(ids, texts, strict=True))
    )
    rewards = task.rewards([prompt_id for prompt_id, _ in pairs], [text for _, text in pairs]).tolist()
    worth = dict(zip(pairs, rewards, strict=True))
    best = [max(texts, key=lambda text: worth[prompt_id, text]) for prompt_id, *texts in zip(ids, *draws, strict=True)]
    return best, len(pairs)


def remark(count: int, task: RetrievalTask, chosen_by: str, trained: bool, temperature: float, valued: int) -> str:
    """A sentence for a reader of the evaluation.

    Args:
        count: Rewrites a query.
        task: The task whose reward chose.
        chosen_by: Name of its retriever.
        trained: Whether that is the retriever of the policy's training.
        temperature: Temperature of sampling.
        valued: Number of different rewrites that were valued.
    """
    which = (
        "its retriever of training" if trained else "the first of the retrievers here, since none of training is known"
    )
    return (
        f"the best of {count} rewrites a query, sampled at temperature {temperature:g}, chosen by {task.metric} under "
        f"{chosen_by} ({which}) from judgements of the evaluated queries: an upper reference, not a policy to deploy; "
        f"{valued:,} evaluations to choose"
    )


def share_of_progress(progress: Callable[[int], object], count: int) -> Callable[[int], object]:
    """Progress of ``count`` draws, told as that of one: whole prompts as soon as that many draws are done."""
    rest = 0

    def update(done: int) -> None:
        nonlocal rest
        whole, rest = divmod(rest + done, count)
        if whole:
            progress(whole)

    return update
