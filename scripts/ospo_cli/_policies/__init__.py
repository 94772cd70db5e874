"""Policies by the names that --policy takes: a table of kinds, of which the first that knows a name resolves it.

A kind is a function of a name and a request. It returns ``None`` for a name that is not its own, and otherwise a
resolved policy; a name that cannot be used is refused before anything slow starts. What depends on the prompts is
checked by the policy's ``check``. A new kind is one more function in :data:`KINDS`.
"""

from ospo_cli._policies.resolved import Request, ResolvedPolicy
from ospo_cli._policies.settings import settings_of
from ospo_cli._policies.table import KINDS, open_policy

__all__ = ["KINDS", "Request", "ResolvedPolicy", "open_policy", "settings_of"]
