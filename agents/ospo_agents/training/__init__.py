"""A training run: settings, stages, learners, and the files that it writes."""

from ospo_agents.training.run import train
from ospo_agents.training.settings import TrainingSettings

__all__ = ["TrainingSettings", "train"]
