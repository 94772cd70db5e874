"""Row of what a training step pays for credit: from token ids to the advantages of tokens, rewards known."""

import gc
import time
from argparse import Namespace
from typing import Any

import numpy as np

from envs_data.sample import sample_data
from ospo_cli._benchmark.rows import Row
from ospo_env.task import RetrievalTask

__all__ = ["credit_rows"]

_ROLLOUTS = 64
_GROUP = 8
_TOKENS = 32
_WORDS_A_PHRASE = 3
_MOST_WORDS = 64  # of a rewrite that count: all, as in ``ospo gpu-check``
_MOST = 73.0
"""Milliseconds: a twentieth of the 1.46 s that a GRPO step of a model of .5B parameters took on an H200."""


def credit_rows(arguments: Namespace) -> list[Row]:
    """One row: the time of credit of a step's rollouts, the least of several steps of other texts.

    Completions are random words of the embedded shop and, after three of them on average, a comma, as those of ``ospo
    gpu-check``. Their rewards are known, as they are in training; no coalition is.
    """
    from ospo_agents.advantages import make_redistribution
    from ospo_agents.batches import credit_completions, stack_completions
    from ospo_agents.credit import make_solution
    from ospo_agents.policies.prompt_format import PromptFormat
    from ospo_agents.policies.tiny import tiny_tokenizer
    from ospo_agents.trainer import OSPOConfig

    defaults = OSPOConfig(use_cpu=True, bf16=False, activation_checkpointing=False)
    solution = make_solution(defaults.solution, **defaults.solution_settings)
    redistribute = make_redistribution(defaults.redistribution, **defaults.redistribution_settings)
    task = RetrievalTask(sample_data("shopping"), "bm25", metric="nDCG@10", max_words=_MOST_WORDS)
    tokenizer: Any = tiny_tokenizer(task.texts())
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    words = [token for token, text in enumerate(texts) if text[:1] == " " and text[1:].isalpha()]
    comma = texts.index(",")
    rng = np.random.default_rng(0)
    prompts = task.prompts("train")[0]
    seconds, segments = [], []
    group = np.repeat(np.arange(_ROLLOUTS // _GROUP), _GROUP)
    for step in range(1 + arguments.repeats):  # the first one warms up
        ids = [prompts[(step * _ROLLOUTS // _GROUP + place) % len(prompts)] for place in group.tolist()]
        commas = rng.random((_ROLLOUTS, _TOKENS)) < 1 / (1 + _WORDS_A_PHRASE)
        completions = np.where(commas, comma, rng.choice(words, (_ROLLOUTS, _TOKENS))).tolist()
        rewards = task.rewards(ids, [tokenizer.decode(one) for one in completions])
        gc.collect()
        begin = time.process_time()
        credited = credit_completions(
            task, ids, completions, tokenizer, PromptFormat().answer_span, segmenter="phrases", solution=solution
        )
        redistribute(stack_completions(credited, rewards - rewards.mean(), group))
        seconds.append(time.process_time() - begin)
        segments.append(float(np.mean([len(one.credit) for one in credited])))
    work = f"credit of {_ROLLOUTS} completions of {_TOKENS} tokens, {np.mean(segments):.1f} phrases each, bm25"
    details = {"seconds": seconds[1:], "segments": segments[1:]}
    return [Row(work, f"<= {_MOST:g} ms", 1e3 * min(seconds[1:]), "ms", most=_MOST, details=details)]
