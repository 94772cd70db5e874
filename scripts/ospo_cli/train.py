"""Train a rewriting policy on a task: warm start on demonstrations, then OSPO or a baseline.

`train.py --help` says what is written, and `_arguments.py` holds the arguments.
"""

import os
import platform
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ospo_agents import AgentError
from ospo_agents.training.processes import is_first, part, processes, wait
from ospo_agents.training.run_directory import (
    CHECKPOINTS,
    CLEARING,
    Progress,
    find_progress,
    prepare_out,
    read_run,
    tidy,
    write_run,
)
from ospo_cli._arguments import parse, recorded

PACKAGES = ("ospo", "torch", "transformers", "trl", "peft", "accelerate", "gymnasium", "numpy")


def main(argv: Sequence[str] | None) -> None:
    """Train, or go on training, and write the run directory."""
    arguments = parse(argv)
    earlier = read_run(arguments.out) if arguments.resume else None
    status = None if earlier is None else earlier.get("status")
    if status == "finished":
        print(f"{arguments.out} is finished; nothing to resume")
        return
    if status == CLEARING:  # killed before it began
        earlier = None
    task = _open_task(arguments)
    _check_prompts(arguments, len(task.prompts("train")[0]))
    manifest = {
        "command": shlex.join(["python", "scripts/train.py", *(sys.argv[1:] if argv is None else argv)]),
        "arguments": recorded(arguments),
        "processes": processes(),
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    if earlier is not None:
        _check_same(arguments, earlier, manifest)
        manifest["command"] = earlier.get("command", manifest["command"])
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else TRL reports each trainer that is made
    # Heavy libraries are imported once the task stands, so that bad input is reported at once.
    from ospo_agents.training.progress import Tally, quiet
    from ospo_agents.training.stages import check_credit, learn, make_policy, warm_policy

    quiet()
    check_credit(arguments)
    out = arguments.out
    warmed = earlier is not None and (out / "warmstart").is_dir()
    policy = None if warmed else make_policy(arguments, task)
    progress = Progress() if earlier is None else find_progress(out)
    if is_first():
        if earlier is None:
            prepare_out(out, manifest)
        else:
            tidy(out, progress.step)
    wait()
    tally = Tally(lambda: task.counters, progress)
    if policy is not None:
        warm_policy(arguments, task, *policy, out / "warmstart")
        del policy  # the learner reads its own
    spent = learn(arguments, task, tally)
    if is_first():
        write_run(out, {"status": "finished", **spent, **manifest})
        shutil.rmtree(out / CHECKPOINTS)
        after = arguments.algo.upper() if arguments.algo in ("dpo", "sft") else "RL"
        pairs = "pairs.jsonl, " if arguments.algo == "dpo" else ""
        print(f"Wrote {out}: policy/ (after {after}), warmstart/ (before), {pairs}log.jsonl, curves.png, run.json")
    part()


def _open_task(arguments: Namespace) -> Any:
    from ospo_cli._tasks import open_task  # slow to import, and not needed for --help
    from ospo_env import TaskError

    try:
        return open_task(
            arguments.env,
            arguments.data,
            split="train",
            retriever=arguments.retriever,
            metric=arguments.metric,
            max_words=arguments.max_words,
        )
    except TaskError as error:
        if arguments.preset is None or "retriever" not in str(error):
            raise
        asked = f"--preset {arguments.preset} asks for {arguments.retriever}"
        hint = f"{asked}; another may be named, for example --retriever bm25"
        raise TaskError(f"{error}; {hint}") from error


def _check_prompts(arguments: Namespace, prompts: int) -> None:
    """A step's groups must be of different prompts, where the trainer draws them."""
    if arguments.algo in ("dpo", "sft") or arguments.batch_size // arguments.group_size <= prompts:
        return
    raise AgentError(
        f"--batch-size {arguments.batch_size} with --group-size {arguments.group_size} needs "
        f"{arguments.batch_size // arguments.group_size} prompts a step, but the train split has {prompts}; "
        f"use at most {prompts * arguments.group_size}"
    )


def _check_same(arguments: Namespace, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    """A run goes on with the data and the processes it had; other versions of packages are said."""
    for key, what in (("data_fingerprint", "data"), ("processes", "number of processes")):
        if earlier.get(key) != now[key]:
            raise AgentError(
                f"--resume: {arguments.out} was started with another {what} ({earlier.get(key)}, now {now[key]})"
            )
    versions = {name: (was, now["versions"].get(name)) for name, was in earlier.get("versions", {}).items()}
    changed = ", ".join(f"{name} {was} (now {is_now})" for name, (was, is_now) in versions.items() if was != is_now)
    if changed and is_first():
        print(f"warning: started with {changed}; the result may differ from an uninterrupted run's", file=sys.stderr)
