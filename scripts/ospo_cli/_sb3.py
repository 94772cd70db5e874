"""Policies of Stable-Baselines3 on disk: its own ``model.zip``, and the views that its numbers are made with.

``views.json`` says how a prompt becomes a vector, what an action means as text, and what the network is made of. So a
policy is built anew from settings, and ``model.zip`` gives its weights alone: the pickles in it are never opened.
"""

import io
import json
import shlex
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs_data.errors import one_line
from ospo_agents import AgentError
from ospo_agents.training.run_directory import read_run
from ospo_cli._recorded import recorded_retriever
from ospo_cli._sb3_settings import ALGOS
from ospo_env import RetrievalTask
from ospo_env.wrappers import encode_prompts, open_encoder
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice

__all__ = ["MODEL", "VIEWS", "Policy", "algorithm", "describe_views", "is_sb3_policy", "open_sb3_policy"]

MODEL, VIEWS = "model.zip", "views.json"
_WEIGHTS = "policy.pth"  # in model.zip
_KIND, _VERSION = "ospo views", 2  # 1 had no settings of the network

Policy = Callable[[Sequence[str], Sequence[str]], list[str]]


def algorithm(name: str) -> Any:
    """The class of Stable-Baselines3 for a key of :data:`ospo_cli._sb3_settings.ALGOS`."""
    import stable_baselines3  # opens torch, which bad input need not wait for

    return getattr(stable_baselines3, name.upper())


def describe_views(
    algo: str,
    encoder: str,
    task: RetrievalTask,
    choice: KeywordChoice | TemplateChoice,
    policy_kwargs: Mapping[str, Any],
) -> bytes:
    """Content of ``views.json``."""
    if isinstance(choice, KeywordChoice):
        actions: dict[str, Any] = {"phrases": choice.phrases, "most": choice.most}
        actions |= {"space": choice.kind, "template": choice.template}
    else:
        actions = {"templates": choice.templates}
    fingerprint = getattr(open_encoder(encoder, task), "fingerprint", None)
    views = {"kind": _KIND, "version": _VERSION, "algo": algo, "encoder": encoder, "encoder_fingerprint": fingerprint}
    return json.dumps(views | {"actions": actions, "policy": dict(policy_kwargs)}, indent=2).encode() + b"\n"


def is_sb3_policy(directory: Path) -> bool:
    """Whether a directory holds a policy that ``ospo train-sb3`` wrote."""
    return all((directory / name).is_file() for name in (MODEL, VIEWS))


def open_sb3_policy(directory: Path, task: RetrievalTask, *, encoder: str | None = None) -> Policy:
    """A policy that takes the best action, on the CPU.

    Args:
        directory: Directory of the policy, see :func:`is_sb3_policy`.
        task: Source of the documents that the encoder is made on, and of the queries.
        encoder: The encoder, where the caller names it; None takes the one in ``views.json``, if a file may name it.

    Returns:
        Prompt ids and prompts in, one text for each out.

    Raises:
        AgentError: The directory cannot be read or was written before weights were stored apart from code, its encoder
            is one that a file may not name, or it was made on other documents.
    """
    views = _read(directory)
    name = (
        recorded_retriever(views.get("encoder"), source=directory, option="--encoder") if encoder is None else encoder
    )
    made = open_encoder(name, task)
    expected, fingerprint = views.get("encoder_fingerprint"), getattr(made, "fingerprint", None)
    if fingerprint != expected:
        raise AgentError(
            f"{directory} reads vectors of {name} on the documents that it was trained on ({expected}); those of "
            f"these documents ({fingerprint}) mean something else: evaluate it on the data of its training"
        )
    try:
        choice = _choice(views["actions"])
        network = _network(views, made.dimensions, choice.space)
        network.load_state_dict(_weights(directory / MODEL, network))
    except AgentError:
        raise
    except Exception as error:  # anybody may have written the files
        raise AgentError(f"{directory} cannot be opened: {one_line(f'{type(error).__name__}: {error}')}") from error

    def policy(prompt_ids: Sequence[str], prompts: Sequence[str]) -> list[str]:
        if not prompts:
            return []
        actions, _ = network.predict(encode_prompts(made, prompts), deterministic=True)
        return [choice.write(action, task.query(one)) for action, one in zip(actions, prompt_ids, strict=True)]

    return policy


def _network(views: Mapping[str, Any], dimensions: int, actions: Any) -> Any:
    """The network of a policy, with weights that are still to be loaded."""
    import numpy as np
    import torch
    from gymnasium.spaces import Box

    if views["algo"] not in ALGOS:
        raise AgentError(f"expected an algorithm of {', '.join(ALGOS)} in {VIEWS}, got {str(views['algo'])[:40]!r}")
    made = algorithm(views["algo"]).policy_aliases["MlpPolicy"]
    with torch.random.fork_rng():
        network = made(Box(-1.0, 1.0, (dimensions,), np.float32), actions, lambda _: 0.0, **views["policy"])
    network.set_training_mode(False)
    return network


def _weights(path: Path, network: Any) -> Any:
    """The weights in ``model.zip``, no larger than those of the network."""
    import torch

    most = 2**20 + 2 * sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise AgentError(f"{path}: expected weights of at most {most} bytes; {_WEIGHTS} holds more")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _read(directory: Path) -> dict[str, Any]:
    path = directory / VIEWS
    try:
        views: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AgentError(f"{path} cannot be read: {one_line(str(error))}") from error
    if not isinstance(views, dict) or views.get("kind") != _KIND:
        raise AgentError(f"{path}: expected views of version {_VERSION}, as ospo train-sb3 writes them")
    if views.get("version") != _VERSION:
        raise AgentError(
            f"{directory} was written before weights were stored apart from code, and opening its {MODEL} would run "
            f"what it holds; train it again{_training_command(directory.parent)}"
        )
    return views


def _training_command(run: Path) -> str:
    """The command that trained an earlier run, as far as its ``run.json`` tells."""
    arguments = (read_run(run) or {}).get("arguments", {})
    words = ["ospo", "train-sb3"]
    for name, value in arguments.items():
        if value is not None and name != "overwrite":
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{name.replace('_', '-')}", text]
    return f": {shlex.join([*words, '--overwrite'])}" if arguments else ""


def _choice(actions: Mapping[str, Any]) -> KeywordChoice | TemplateChoice:
    return TemplateChoice(**actions) if "templates" in actions else KeywordChoice(**actions)
