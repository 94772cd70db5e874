"""The task as an OpenEnv application with credit, for containers; ``ospo serve-env`` has options."""

import gymnasium as gym

from ospo_agents.integrations.segment_credit import segment_credit
from ospo_env.integrations.openenv import make_app

task = gym.make("ospo_env:OSPO-ESCI-v0").unwrapped.task
app = make_app(task, segment_credit(task))
