"""Rules for names that come out of a file: specifications in a run are data, and none of them runs code.

A retriever named ``module:attribute`` runs that module, an environment id ``module:Id-v0`` imports it, engines and hub
models send data away, and directories of models hold code too. All of these, and paths outside the file's own
directory, are taken from a command line or from code alone. A run directory, a rewrites file or a stored view may name
the registered kinds below and registered ids.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ospo_agents.errors import AgentError

__all__ = ["recorded_data", "recorded_env", "recorded_retriever", "recorded_trl"]

_LOCAL_KINDS = ("bm25", "chargram", "lsa")
_JOINED = "fusion"  # of other kinds
_REPORTERS = ("none", "tensorboard")  # which write to files only
_WORDS = (
    "f_divergence_type",
    "importance_sampling_level",
    "lora_modules_to_save",
    "lora_target_modules",
    "lora_target_parameters",
    "loss_type",
    "lr_scheduler_type",
    "multi_objective_aggregation",
    "optim",
    "run_name",
    "scale_rewards",
    "truncation_mode",
    "vllm_importance_sampling_mode",
)  # fields of TRL whose texts are names of its own choices or of parts of the model


def recorded_retriever(spec: object, *, source: Path, option: str = "--retriever") -> str:
    """The retriever that a file names, if a file may name it.

    Args:
        spec: Specification in the file.
        source: The file or the run directory, for the message.
        option: Option of the program that takes the retriever from its user instead.

    Raises:
        AgentError: The retriever runs code of its own, reads a model or reaches another machine.

    >>> recorded_retriever("fusion:bm25+lsa%3Fdimensions=64", source=Path("run"))
    'fusion:bm25+lsa%3Fdimensions=64'
    """
    if not isinstance(spec, str):
        raise AgentError(f"{source}: expected the name of a retriever, got {str(spec)[:80]!r}")
    if not _is_local(spec):
        raise AgentError(
            f"{source} names the retriever {spec!r}, which a file may not choose since it may run code or reach "
            f"another machine; if you trust it, repeat it: {shlex.join([option, spec])}"
        )
    return spec


def recorded_env(env_id: object, *, source: Path, option: str = "--env") -> str:
    """The environment id that a file names, if a file may name it; arguments and errors as :func:`recorded_retriever`.

    >>> recorded_env("OSPO-ESCI-v0", source=Path("run"))
    'OSPO-ESCI-v0'
    """
    if not isinstance(env_id, str):
        raise AgentError(f"{source}: expected an environment id, got {str(env_id)[:80]!r}")
    if ":" in env_id:
        raise AgentError(
            f"{source} names the environment {env_id!r}, which a file may not choose since it imports a module; "
            f"if you trust it, repeat it: {shlex.join([option, env_id])}"
        )
    return env_id


def recorded_data(path: object, *, source: Path, option: str = "--data") -> Path | None:
    """The prepared directory that a file names, if a file may name it: one below its own, or none for the sample.

    Arguments and errors as :func:`recorded_retriever`.

    >>> recorded_data("run/data", source=Path("run")), recorded_data(None, source=Path("run"))
    (PosixPath('run/data'), None)
    """
    if path is None:
        return None
    if not isinstance(path, str):
        raise AgentError(f"{source}: expected the path of a prepared directory, got {str(path)[:80]!r}")
    if not Path(path).resolve().is_relative_to(source.resolve()):
        raise AgentError(
            f"{source} names the data {path!r}, which a file may not choose since they lie outside its directory; "
            f"if you trust it, repeat it: {shlex.join([option, path])}"
        )
    return Path(path)


def recorded_trl(fields: Mapping[str, Any], *, source: Path, option: str = "--trl") -> None:
    """Check that a file may set these fields of TRL's settings: numbers, switches, and names of TRL's own choices.

    Others are hosts, paths and services; arguments and errors as :func:`recorded_retriever`.

    >>> recorded_trl({"weight_decay": 0.1, "report_to": ["tensorboard"]}, source=Path("run"))
    """
    for name, value in fields.items():
        values = value if isinstance(value, list) else [value]
        texts = [item for item in values if not isinstance(item, int | float | None)]
        if name in _WORDS or (name == "report_to" and set(map(str, texts)) <= set(_REPORTERS)):
            texts = [item for item in texts if not isinstance(item, str)]
        if texts:
            raise AgentError(
                f"{source} sets TRL's {name} to {str(value)[:80]!r}, which a file may not choose since it may reach "
                f"another machine; if you trust it, repeat it: {shlex.join([option, json.dumps(fields)])}"
            )


def _is_local(spec: str) -> bool:
    """Whether a specification names kinds that read nothing but the task's own documents."""
    name, colon, rest = spec.partition("?")[0].partition(":")
    if name == _JOINED and colon:
        return all(_is_local(part) for part in unquote(rest).split("+"))
    return name in _LOCAL_KINDS and not colon
