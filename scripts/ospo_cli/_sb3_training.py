"""Training of an agent of Stable-Baselines3, from its settings to its run directory."""

import inspect
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.env_util import make_vec_env

from envs_data.errors import one_line
from ospo_agents.errors import AgentError, unknown
from ospo_agents.files import sync_directory, sync_entry, write_atomically
from ospo_agents.training.curves import draw_curves
from ospo_agents.training.lock import training_lock
from ospo_agents.training.run_directory import check_out, prepare_out, write_run
from ospo_cli._modes import MODES
from ospo_cli._sb3 import MODEL, VIEWS, algorithm, describe_views
from ospo_cli._sb3_log import RewardLog
from ospo_cli._sb3_settings import TEMPLATES, AgentSettings
from ospo_cli._task_settings import TaskSettings
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.wrappers import GainReward, KeywordActions, TemplateActions, VectorObservation, open_encoder
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice
from ospo_env.wrappers.phrases import catalogue_phrases, phrase_templates

__all__ = ["train_agent"]

_PACKAGES = ("ospo", "stable-baselines3", "torch", "gymnasium", "numpy")
_ENVS = 16


def train_agent(
    settings: AgentSettings,
    about: TaskSettings,
    out: Path,
    *,
    arguments: Mapping[str, Any],
    command: str,
    overwrite: bool,
) -> None:
    """Train an agent and write its run directory.

    Args:
        settings: Settings of the agent, checked.
        about: Settings of the task.
        out: Run directory.
        arguments: All arguments as ``run.json`` holds them.
        command: The command line, for ``run.json``.
        overwrite: Whether to replace an earlier run.

    Raises:
        AgentError: The algorithm does not take its settings, or another process is training into the directory.
        TaskError: The encoder has no vectors, or a template cannot be read.
    """
    task = about.open()
    open_encoder(settings.encoder, task)
    choice = _choice(settings, task)
    envs = make_vec_env(
        about.env,
        n_envs=_ENVS,
        seed=settings.seed,
        wrapper_class=lambda env: _view(env, settings.encoder, choice),
        env_kwargs={
            "data": about.data,
            "retriever": about.retriever,
            "metric": about.metric,
            "max_words": task.max_words,
            **{name: getattr(task, name) for name in MODES},
            "render_mode": None,
        },
    )
    model = _model(settings, envs)
    record = {
        "command": command,
        "arguments": dict(arguments),
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "versions": {name: version(name) for name in _PACKAGES},
    }
    with training_lock(out):
        check_out(out, overwrite)
        prepare_out(out, record)
        log = RewardLog(out / "log.jsonl", settings.algo, int(settings.steps or 0), task.metric)
        model.learn(settings.steps, callback=log)
        _save(out, model, describe_views(settings.algo, settings.encoder, task, choice, settings.policy_kwargs))
        title = f"{settings.algo} on {about.env}, {about.retriever}, seed {settings.seed}"
        draw_curves(log.rows, out / "curves.png", title=title, metric=task.metric)
        spent = {"rollouts": model.num_timesteps, "seconds": log.rows[-1]["seconds"]}
        write_run(out, {"status": "finished", **spent, **record})
    say(f"Wrote {out}: policy/ ({MODEL}, {VIEWS}), log.jsonl, curves.png, run.json")


def _save(out: Path, model: Any, views: bytes) -> None:
    """Write ``policy/``, whole or not at all."""
    partial = out / ".policy.scratch"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save(partial / MODEL)
    write_atomically(partial / VIEWS, views)
    sync_directory(partial)
    partial.rename(out / "policy")
    sync_entry(out / "policy")


def _choice(settings: AgentSettings, task: RetrievalTask) -> KeywordChoice | TemplateChoice:
    phrases = catalogue_phrases(task, int(settings.phrases or 0))
    if settings.actions == TEMPLATES:
        return TemplateChoice(phrase_templates(phrases, task.compose))
    return KeywordChoice(
        phrases, most=int(settings.most or 0), space=str(settings.actions), template=str(settings.template)
    )


def _view(env: gym.Env[Any, Any], encoder: str, choice: KeywordChoice | TemplateChoice) -> gym.Env[Any, Any]:
    """An environment as the agent sees it."""
    env = VectorObservation(GainReward(env), encoder)
    if isinstance(choice, TemplateChoice):
        return TemplateActions(env, choice.templates)
    return KeywordActions(env, choice.phrases, most=choice.most, space=choice.kind, template=choice.template)


def _model(settings: AgentSettings, envs: Any) -> Any:
    """The algorithm with its settings.

    Raises:
        AgentError: It has no such setting, or does not take its value.
    """
    made = algorithm(settings.algo)
    known = [name for name in inspect.signature(made).parameters if name not in ("policy", "env")]
    for name in settings.settings:
        if name not in known:
            raise unknown(f"setting of {settings.algo}", name, known)
    fixed = {"gamma": 0.0, "seed": settings.seed, "device": "cpu"}  # an episode is one step
    try:
        return made("MlpPolicy", envs, **{**settings.settings, "policy_kwargs": settings.policy_kwargs, **fixed})
    except (TypeError, ValueError, AssertionError) as error:
        raise AgentError(f"--settings: {settings.algo} does not take them: {one_line(str(error))}") from error
