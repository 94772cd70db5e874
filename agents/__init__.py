"""Learners. They know a task only through the protocols in ``agents.protocols``."""

from agents.errors import AgentError
from agents.protocols import Coalitions, Policy, Spans, Task

__all__ = ["AgentError", "Coalitions", "Policy", "Spans", "Task"]
