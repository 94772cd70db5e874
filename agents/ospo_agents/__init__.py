"""Learners. They know a task only through the protocols in ``ospo_agents.protocols``."""

from ospo_agents.errors import AgentError
from ospo_agents.protocols import Coalitions, Policy, Spans, Task

__all__ = ["AgentError", "Coalitions", "Policy", "Spans", "Task"]
