"""Settings of a training run out of a command line, over those of a preset or of the run to resume."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ospo_agents.errors import AgentError, unknown
from ospo_agents.training.learners import LEARNERS, OF_SOME
from ospo_agents.training.processes import is_first
from ospo_agents.training.run import changed_arguments
from ospo_agents.training.run_directory import check_out, has_warm_start, read_run
from ospo_agents.training.settings import TrainingSettings
from ospo_cli._modes import MODES
from ospo_cli._recorded import recorded_data, recorded_env, recorded_retriever, recorded_trl
from ospo_cli._reward_settings import RewardSettings
from ospo_cli._task_settings import TaskSettings
from ospo_cli._train_options import option, preset_path, training_parser

__all__ = ["TrainCommand", "parse"]


@dataclasses.dataclass(frozen=True)
class TrainCommand:
    """Request of a command line of ``train``.

    Attributes:
        settings: Settings of the training, checked.
        task: Settings of the task.
        reward: Settings of the reward of training.
        out: Run directory.
        preset: Name of the preset that the settings are from; None without one.
        overwrite: Whether to replace an earlier run.
        resume: Whether to go on with the unfinished run in ``out``.
    """

    settings: TrainingSettings
    task: TaskSettings
    reward: RewardSettings
    out: Path
    preset: str | None = None
    overwrite: bool = False
    resume: bool = False

    @property
    def retrievers(self) -> str:
        """Retrievers of the reward, separated by commas."""
        return ",".join(self.reward.reward_retrievers or [self.task.retriever])

    def recorded(self) -> dict[str, Any]:
        """All arguments by name, in the order of the alphabet, as ``run.json`` holds them."""
        files = {"out": str(self.out), "preset": self.preset, "overwrite": self.overwrite}
        made_of = (self.settings, self.task, self.reward)
        return dict(sorted({**{k: v for part in made_of for k, v in part.as_json().items()}, **files}.items()))


def parse(argv: Sequence[str] | None) -> TrainCommand:
    """The settings, checked; those of a preset or of the run to resume stand where the command line names none."""
    parser = training_parser()
    options = vars(parser.parse_args(argv))
    resume, earlier = options.pop("resume", False), None
    base: Mapping[str, Any] = {}
    if resume:
        base = earlier = _read_earlier(options)
    elif "preset" in options:
        base = _read_preset(options["preset"], options.get("algo"))
    values = {**{name: value for name, value in base.items() if name not in ("out", "overwrite")}, **options}
    rewarding = values.get("reward_retrievers")  # a file may hold anything there
    if isinstance(rewarding, list) and rewarding and "retriever" not in values:
        values["retriever"] = rewarding[0]
    if values.get("env") is None:
        parser.error("expected --env, or a --preset that names one")
    if values.get("out") is None:
        parser.error("expected --out, the run directory to write")
    command = TrainCommand(
        TrainingSettings.of(values),
        TaskSettings.of(values),
        RewardSettings.of(values),
        Path(values["out"]),
        values.get("preset"),
        values.get("overwrite", False),
        resume,
    )
    if earlier is not None:
        _check_unchanged(command, earlier)
    command.task.check(option)
    command.reward.check(command.task.retriever, option)
    command.settings.check(option)
    if earlier is not None:
        _check_recorded(command, options)
    if not resume and is_first():
        check_out(command.out, command.overwrite)
    return command


def _read_preset(name: str, algo: str | None) -> dict[str, Any]:
    """Settings of a preset, without those that the learner of the command line does not have."""
    path = preset_path(name)
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    parts = (TrainingSettings, TaskSettings, RewardSettings)
    known = {field.name for settings in parts for field in dataclasses.fields(settings)}
    for setting in values:
        if setting not in known:
            raise unknown(f"setting of the preset {path}:", setting, known)
    algo = algo or values.get("algo", TrainingSettings().algo)
    has = LEARNERS[algo].defaults
    if values.get("kl") == 0 and has.get("kl"):
        del values["kl"]  # pairs are compared with the policy that they were drawn from
    return {key: value for key, value in values.items() if key not in OF_SOME or key in has}


def _read_earlier(options: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded arguments of the run to resume."""
    if "out" not in options:
        raise AgentError("--resume: expected --out, the directory of the run to go on with")
    if options.get("overwrite"):
        raise AgentError("--resume goes on with a run and --overwrite replaces it; give one of them")
    manifest = read_run(Path(options["out"]))
    if manifest is None:
        out = Path(options["out"])
        if (out / "run.json").exists():
            raise AgentError(f"--resume: {out / 'run.json'} is damaged; train again, into another directory")
        raise AgentError(f"--resume: {out} holds no run; leave --resume out to start one")
    earlier: dict[str, Any] = manifest["arguments"]
    recorded = TrainingSettings.recorded(earlier)
    return {**earlier, "calls": recorded.calls, "warmup_steps": recorded.warmup_steps}


def _check_recorded(command: TrainCommand, options: Mapping[str, Any]) -> None:
    """Check that settings of the file, which the command line does not repeat, name no code."""
    if "env" not in options:
        recorded_env(command.task.env, source=command.out)
    if "data" not in options:
        recorded_data(command.task.data, source=command.out)
    if "retriever" not in options:
        recorded_retriever(command.task.retriever, source=command.out)
    if "reward_retrievers" not in options:
        for name in command.reward.reward_retrievers or ():
            recorded_retriever(name, source=command.out, option=option("reward_retrievers"))
    if "trl" not in options:
        recorded_trl(command.settings.trl, source=command.out)
    if "policy" not in options and command.settings.policy is not None and not has_warm_start(command.out):
        raise AgentError(
            f"{command.out} has no warmstart/ yet and starts from the policy {command.settings.policy!r}, which is not "
            f"in it; if you trust it, repeat it: --policy {command.settings.policy}"
        )


def _check_unchanged(command: TrainCommand, earlier: Mapping[str, Any]) -> None:
    changed = changed_arguments({**MODES, **RewardSettings.of(earlier).as_json(), **earlier}, command.recorded())
    if changed:
        listed = ", ".join(f"{option(name)} {was} (now {is_now})" for name, (was, is_now) in changed.items())
        raise AgentError(f"--resume: {command.out} was started with {listed}; leave changed arguments out")
