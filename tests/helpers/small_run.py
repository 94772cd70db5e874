"""Training runs of a second or two, on a data set of a few queries."""

import json

from envs_data import prepare_esci
from official_files import esci_examples, write_esci
from ospo_cli import train

# 13 training prompts, 4 of them a step: a pass over them is three steps, and one prompt is left out of each.
SETTINGS = {
    "env": "OSPO-ESCI-v0",
    "batch_size": 8,
    "group_size": 2,
    "warm_start_epochs": 30,
    "max_completion_length": 8,
}

# Defaults of a new policy, for runs that start from one of these; those of KL are of learners.
OF_TINY = {"learning_rate": 3e-4, "warmup_steps": 0, "gradient_accumulation": 1}


def write_data(directory, **arguments):
    """A prepared directory in the manner of ESCI."""
    prepare_esci(write_esci(directory / "files", esci_examples(20)), directory / "data", pool_size=12, **arguments)
    return directory / "data"


def command(out, *flags, **settings):
    """The command line of a run; a run that goes on knows its settings, but for the data, which its user repeats."""
    given = {**recorded_data(out), **settings} if "--resume" in flags else SETTINGS | settings
    if given.get("algo") in ("dpo", "sft") and given.get("kl") == 0:
        given = {name: value for name, value in given.items() if name != "kl"}  # one needs it, the other has none
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in given.items()]
    return [*flags, "--out", str(out), *(word for pair in pairs for word in pair)]


def recorded_data(out):
    """The data that ``run.json`` names, as a setting."""
    try:
        data = json.loads((out / "run.json").read_text())["arguments"]["data"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {} if data is None else {"data": data}


def repeated(out):
    """The option that repeats the data of a run, for programs that read it."""
    return [word for name, value in recorded_data(out).items() for word in (f"--{name}", value)]


def run(out, *flags, **settings):
    """Train in this process."""
    train.main(command(out, *flags, **settings))
    return out


def weights(out, stage="policy"):
    """The policy's weights or its adapter's, as bytes."""
    (path,) = (out / stage).glob("*.safetensors")
    return path.read_bytes()


def log(out):
    """The rows of the log that are of steps."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if "loss" in row]


def manifest(out):
    return json.loads((out / "run.json").read_text())
