"""Settings of the task that policies are evaluated on."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ospo_agents import AgentError
from ospo_cli._modes import MODES

__all__ = ["settings_of"]


def settings_of(arguments: Namespace, policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of the task: as the command line asks, else as the policies were made for, else the usual ones.

    Args:
        arguments: Arguments with a name for each setting, None where the command line says nothing.
        policies: By policy, the settings that it was made for.

    Raises:
        AgentError: The command line says nothing, and the policies were made for different ones.
    """
    settings: dict[str, Any] = {}
    for name, usual in {"max_words": None, "candidates": "pool", "metric": "nDCG@10", **MODES}.items():
        made_for = {policy: own[name] for policy, own in policies.items() if name in own}
        settings[name] = getattr(arguments, name)
        if settings[name] is None:
            if len(set(made_for.values())) > 1:
                option = f"--{name.replace('_', '-')}"
                listed = ", ".join(f"{policy} for {value}" for policy, value in made_for.items())
                raise AgentError(f"{option}: the policies were made for different ones ({listed}); name one of them")
            settings[name] = next(iter(made_for.values()), usual)
    if arguments.compose == MODES["compose"] and arguments.query_weight is None:
        settings["query_weight"] = MODES["query_weight"]  # that of policies made for another mode means nothing here
    return settings
