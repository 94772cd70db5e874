"""Policies of Stable-Baselines3 on disk: its own ``model.zip``, and the views that its numbers are made with.

``views.json`` says how a prompt becomes a vector and what an action means as text, so that a policy is opened as it
was trained. Opening ``model.zip`` runs code that it holds: open those only that you trust.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs_data.errors import one_line
from ospo_agents import AgentError
from ospo_env import RetrievalTask
from ospo_env.wrappers import encode_prompts, open_encoder
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice

__all__ = ["MODEL", "VIEWS", "Policy", "algorithm", "describe_views", "is_sb3_policy", "open_sb3_policy"]

MODEL, VIEWS = "model.zip", "views.json"
_KIND, _VERSION = "ospo views", 1

Policy = Callable[[Sequence[str], Sequence[str]], list[str]]


def algorithm(name: str) -> Any:
    """The class of Stable-Baselines3 for a key of :data:`ALGOS`."""
    import stable_baselines3  # opens torch, which bad input need not wait for

    return getattr(stable_baselines3, name.upper())


def describe_views(algo: str, encoder: str, task: RetrievalTask, choice: KeywordChoice | TemplateChoice) -> bytes:
    """Content of ``views.json``."""
    if isinstance(choice, KeywordChoice):
        actions: dict[str, Any] = {"phrases": choice.phrases, "most": choice.most}
        actions |= {"space": choice.kind, "template": choice.template}
    else:
        actions = {"templates": choice.templates}
    fingerprint = getattr(open_encoder(encoder, task), "fingerprint", None)
    views = {"kind": _KIND, "version": _VERSION, "algo": algo, "encoder": encoder, "encoder_fingerprint": fingerprint}
    return json.dumps(views | {"actions": actions}, indent=2).encode() + b"\n"


def is_sb3_policy(directory: Path) -> bool:
    """Whether a directory holds a policy that ``train_sb3.py`` wrote."""
    return all((directory / name).is_file() for name in (MODEL, VIEWS))


def open_sb3_policy(directory: Path, task: RetrievalTask) -> Policy:
    """A policy that takes the best action, on the CPU.

    Args:
        directory: Directory of a policy that :func:`is_sb3_policy` recognises.
        task: Its documents are what the encoder is made on, and its queries what texts are made of.

    Returns:
        Prompt ids and prompts in, one text for each out.

    Raises:
        AgentError: The directory cannot be read, or its encoder was made on other documents.
    """
    views = _read(directory / VIEWS)
    try:
        choice = _choice(views["actions"])
        algo, name, fingerprint = views["algo"], views["encoder"], views["encoder_fingerprint"]
        model = algorithm(algo).load(directory / MODEL, device="cpu")
    except Exception as error:  # a zip of pickles may fail in any way
        raise AgentError(f"{directory} cannot be opened: {one_line(f'{type(error).__name__}: {error}')}") from error
    encoder = open_encoder(name, task)
    found = getattr(encoder, "fingerprint", None)
    if found != fingerprint:
        raise AgentError(
            f"{directory} reads vectors of {name} on the documents that it was trained on ({fingerprint}); those of "
            f"these documents ({found}) mean something else: evaluate it on the data of its training"
        )

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        if not prompts:
            return []
        actions, _ = model.predict(encode_prompts(encoder, prompts), deterministic=True)
        return [choice.write(action, task.query(one)) for action, one in zip(actions, prompt_ids, strict=True)]

    return policy


def _read(path: Path) -> dict[str, Any]:
    try:
        views: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise AgentError(f"{path} cannot be read: {one_line(str(error))}") from error
    if not isinstance(views, dict) or (views.get("kind"), views.get("version")) != (_KIND, _VERSION):
        raise AgentError(f"{path}: expected views of version {_VERSION}, as train_sb3.py writes them")
    return views


def _choice(actions: Mapping[str, Any]) -> KeywordChoice | TemplateChoice:
    return TemplateChoice(**actions) if "templates" in actions else KeywordChoice(**actions)
