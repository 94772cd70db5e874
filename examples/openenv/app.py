"""The task as an OpenEnv application with credit, for containers; ``ospo serve-env`` has options."""

from collections.abc import Sequence

import gymnasium as gym

from ospo_agents import assign_credit
from ospo_env.integrations.openenv import make_app
from ospo_env.integrations.sessions import SegmentCredit

task = gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task


def credit(prompt_ids: Sequence[str], texts: Sequence[str]) -> list[list[SegmentCredit]]:
    """Credit of the segments of each rewrite, in one call of the retriever."""
    return [
        [SegmentCredit(start, end, float(share)) for (start, end), share in zip(one.spans, one.credit, strict=True)]
        for one in assign_credit(task, prompt_ids, texts, over_budget="sample")
    ]


app = make_app(task, credit)
