"""Train an agent of Stable-Baselines3 on a task through numeric views of it.

The agent sees the prompt as a vector (--encoder) and writes a rewrite out of phrases of the catalogue (--actions), for
the gain in the metric over the raw query. Writes into the run directory: policy/ (model.zip, and views.json, which says
what its numbers mean), log.jsonl, curves.png, run.json. `evaluate.py --policy` takes the run.
"""

import math
import shutil
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml

from envs_data.errors import one_line
from envs_data.files import write_atomically
from ospo_agents import AgentError
from ospo_agents.training.run_directory import check_out, prepare_out, write_run
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._sb3 import ALGOS, MODEL, VIEWS, algorithm, describe_views
from ospo_cli._tasks import open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.wrappers import GainReward, KeywordActions, TemplateActions, VectorObservation, open_encoder
from ospo_env.wrappers.choices import KEYWORD_SPACES, KeywordChoice, TemplateChoice
from ospo_env.wrappers.phrases import catalogue_phrases, phrase_templates

PACKAGES = ("ospo", "stable-baselines3", "torch", "gymnasium", "numpy")
ENVS = 16
# What an algorithm is told where the command line says nothing, and what it is given to choose from.
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 256, "n_epochs": 8, "ent_coef": 1e-3, "learning_rate": 1e-3},
    "a2c": {
        "n_steps": 4,
        "ent_coef": 5e-3,
        "normalize_advantage": True,
        "use_rms_prop": False,
        "learning_rate": 3e-3,
    },
    "dqn": {
        "learning_starts": 1000,
        "train_freq": 4,
        "gradient_steps": 16,
        "batch_size": 128,
        "exploration_fraction": 0.7,
        "learning_rate": 1e-3,
    },
}
PHRASES = {"ppo": 64, "a2c": 32, "dqn": 32}
STEPS = {"ppo": 30_000, "a2c": 30_000, "dqn": 20_000}

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --out runs/ppo",
    "--env OSPO-HM-v0 --algo dqn --phrases 64 --steps 50000 --out runs/dqn",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked and filled in."""
    parser = Parser("train-sb3", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks during training")
    parser.add_argument("--metric", default="nDCG@10", help="metric that is the reward")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    parser.add_argument("--algo", choices=ALGOS, default="ppo", help="learner")
    parser.add_argument("--steps", type=int, help=f"steps of the environments, all together (default: {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of prompts and exploration")
    parser.add_argument("--encoder", default="lsa?dimensions=256", help="retriever whose vectors are observed")
    parser.add_argument(
        "--actions",
        choices=(*KEYWORD_SPACES, "templates"),
        help="slots for phrases, a switch a phrase, or at most one phrase (default: multidiscrete; dqn: templates)",
    )
    parser.add_argument("--phrases", type=int, help=f"phrases of the catalogue to choose from (default: {PHRASES})")
    parser.add_argument("--most", type=int, help="phrases in a rewrite, not with templates (default: 3)")
    parser.add_argument("--template", help="where they stand, not with templates (default: '{query}, {phrases}')")
    parser.add_argument(
        "--settings", type=yaml.safe_load, default={}, metavar="YAML", help="of the algorithm, such as '{n_steps: 64}'"
    )
    parser.add_argument("--out", type=Path, required=True, help="run directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    arguments = parser.parse_args(argv)
    _fill(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train and write the run directory."""
    arguments = parse(argv)
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


def _fill(arguments: Namespace) -> None:
    """Defaults of the algorithm, and what its actions do not have."""
    arguments.actions = arguments.actions or ("templates" if arguments.algo == "dqn" else KEYWORD_SPACES[0])
    if arguments.algo == "dqn" and arguments.actions != "templates":
        raise AgentError(f"--actions {arguments.actions}: dqn chooses one of some actions; use templates")
    for name, default in {"most": 3, "template": "{query}, {phrases}"}.items():
        if arguments.actions != "templates":
            setattr(arguments, name, default if getattr(arguments, name) is None else getattr(arguments, name))
        elif getattr(arguments, name) is not None:
            raise AgentError(f"--{name} is of --actions {' and '.join(KEYWORD_SPACES)}; leave it out with templates")
    arguments.steps = STEPS[arguments.algo] if arguments.steps is None else arguments.steps
    arguments.phrases = PHRASES[arguments.algo] if arguments.phrases is None else arguments.phrases
    for name in ("steps", "phrases"):
        if not 1 <= getattr(arguments, name) < 2**31:
            raise AgentError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    if not isinstance(arguments.settings, dict):
        raise AgentError(f"--settings: expected a mapping such as '{{n_steps: 64}}', got {arguments.settings!r}")
    arguments.settings = SETTINGS[arguments.algo] | arguments.settings
    rate = arguments.settings["learning_rate"]
    if not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
        raise AgentError(f"--settings: expected learning_rate as a finite number above 0, got {rate!r}")
    check_out(arguments.out, arguments.overwrite)


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
