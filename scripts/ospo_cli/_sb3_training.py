"""Training of an agent of Stable-Baselines3, from the task to the run directory."""

import shutil
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym

from envs_data.errors import one_line
from envs_data.files import write_atomically
from ospo_agents import AgentError
from ospo_agents.training.run_directory import prepare_out, write_run
from ospo_cli._sb3 import MODEL, VIEWS, algorithm, describe_views
from ospo_cli._tasks import open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.wrappers import GainReward, KeywordActions, TemplateActions, VectorObservation, open_encoder
from ospo_env.wrappers.choices import KeywordChoice, TemplateChoice
from ospo_env.wrappers.phrases import catalogue_phrases, phrase_templates

__all__ = ["train_agent"]

PACKAGES = ("ospo", "stable-baselines3", "torch", "gymnasium", "numpy")
ENVS = 16


def train_agent(arguments: Namespace) -> None:
    """Train an agent and write the run directory.

    Args:
        arguments: As ``ospo train-sb3`` parses them.
    """
    task: RetrievalTask = open_task(
        arguments.env,
        arguments.data,
        split="train",
        retriever=arguments.retriever,
        metric=arguments.metric,
        max_words=arguments.max_words,
    )
    open_encoder(arguments.encoder, task)
    choice = _choice(arguments, task)
    manifest = {
        "arguments": {
            key: str(value) if isinstance(value, Path) else value for key, value in sorted(vars(arguments).items())
        },
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "versions": {name: version(name) for name in PACKAGES},
    }
    # Heavy libraries are imported once the task stands, so that bad input is reported at once.
    from stable_baselines3.common.env_util import make_vec_env

    from ospo_agents.training.curves import draw_curves
    from ospo_cli._sb3_log import RewardLog

    out = arguments.out
    envs = make_vec_env(
        arguments.env,
        n_envs=ENVS,
        seed=arguments.seed,
        wrapper_class=lambda env: _view(env, arguments.encoder, choice),
        env_kwargs={
            "data": None if arguments.data is None else str(arguments.data),
            "retriever": arguments.retriever,
            "metric": arguments.metric,
            "max_words": task.max_words,
            "render_mode": None,
        },
    )
    model = _model(arguments, envs)
    prepare_out(out, manifest)
    log = RewardLog(out / "log.jsonl", arguments.algo, arguments.steps, task.metric)
    model.learn(arguments.steps, callback=log)
    partial = out / ".policy.scratch"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save(partial / MODEL)
    write_atomically(partial / VIEWS, describe_views(arguments.algo, arguments.encoder, task, choice))
    partial.rename(out / "policy")
    title = f"{arguments.algo} on {arguments.env}, {arguments.retriever}, seed {arguments.seed}"
    draw_curves(log.rows, out / "curves.png", title=title, metric=task.metric)
    spent = {"rollouts": model.num_timesteps, "seconds": log.rows[-1]["seconds"]}
    write_run(out, {"status": "finished", **spent, **manifest})
    say(f"Wrote {out}: policy/ ({MODEL}, {VIEWS}), log.jsonl, curves.png, run.json")


def _choice(arguments: Namespace, task: RetrievalTask) -> KeywordChoice | TemplateChoice:
    phrases = catalogue_phrases(task, arguments.phrases)
    if arguments.actions == "templates":
        return TemplateChoice(phrase_templates(phrases))
    return KeywordChoice(phrases, most=arguments.most, space=arguments.actions, template=arguments.template)


def _view(env: gym.Env[Any, Any], encoder: str, choice: KeywordChoice | TemplateChoice) -> gym.Env[Any, Any]:
    """An environment as the agent sees it."""
    env = VectorObservation(GainReward(env), encoder)
    if isinstance(choice, TemplateChoice):
        return TemplateActions(env, choice.templates)
    return KeywordActions(env, choice.phrases, most=choice.most, space=choice.kind, template=choice.template)


def _model(arguments: Namespace, envs: Any) -> Any:
    settings = {"policy_kwargs": {"net_arch": [256]}, **arguments.settings}
    fixed = {"gamma": 0.0, "seed": arguments.seed, "device": "cpu"}  # an episode is one step
    given = sorted(set(fixed) & set(arguments.settings))
    if given:
        raise AgentError(f"--settings: {given[0]} is not to be set there; gamma is 0, since an episode is one step")
    try:
        return algorithm(arguments.algo)("MlpPolicy", envs, **fixed, **settings)
    except (TypeError, ValueError, AssertionError) as error:
        raise AgentError(f"--settings: {arguments.algo} does not take them: {one_line(str(error))}") from error
