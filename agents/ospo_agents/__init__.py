"""Learners, and credit of the segments of a text. A task is known only through ``ospo_agents.protocols``."""

from importlib.metadata import version as _version

from ospo_agents.assignment import CreditedText, assign_credit
from ospo_agents.batches import CreditedCompletion, credit_completions
from ospo_agents.errors import AgentError
from ospo_agents.group_advantages import token_advantages
from ospo_agents.protocols import Coalitions, CoalitionTask, Policy, Spans, Task

__all__ = [
    "AgentError",
    "CoalitionTask",
    "Coalitions",
    "CreditedCompletion",
    "CreditedText",
    "Policy",
    "Spans",
    "Task",
    "assign_credit",
    "credit_completions",
    "token_advantages",
]

__version__ = _version("ospo")
