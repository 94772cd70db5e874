"""Check the learner on a GPU, and measure what credit costs there: a few minutes, no network, no data.

First correctness: OSPO trains to GRPO's parameters where its advantages are GRPO's, greedy tokens are those of
transformers' own loop, log-probabilities and credit those of the CPU. Then seconds a step of GRPO and of OSPO for
models of three sizes with random weights, with bm25 on the CPU and with a dense retriever on the GPU. --tiny does all
of it with small models, on a CPU too.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import Parser, command_line
from ospo_cli._outputs import check_directory

__all__ = ["main", "parse"]

_EXAMPLES = ("--out runs/gpu-check", "--tiny --device cpu")


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("gpu-check", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--device", default="cuda", help="device of torch to check: cuda, or cpu with --tiny")
    parser.add_argument("--tiny", action="store_true", help="take small models and few steps, to try the command")
    parser.add_argument("--steps", type=int, default=4, help="training steps of a run that are timed, after two others")
    parser.add_argument("--minutes", type=float, default=7.0, help="time after which no further model is begun")
    parser.add_argument("--only", choices=("correctness", "costs"), help="leave out the other half of the check")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile of the encoder too")
    parser.add_argument("--out", type=Path, help="directory to write gpu-check.json and gpu-check.md into")
    arguments = parser.parse_args(argv)
    if arguments.device not in ("cuda", "cpu"):
        raise AgentError(f"--device: expected cuda or cpu, got {arguments.device!r}")
    if arguments.device == "cpu" and not arguments.tiny:
        raise AgentError("--device cpu: the models of the whole check need a GPU; add --tiny")
    for name, least in (("steps", 1), ("minutes", 0)):
        if not getattr(arguments, name) >= least:
            raise AgentError(f"--{name}: expected at least {least}, got {getattr(arguments, name)}")
    check_directory("--out", arguments.out)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Check, measure, print, write."""
    arguments = parse(argv)
    # Slow to import, and not needed for --help.
    import torch

    from ospo_cli._gpu_check.part import gpu_check

    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise AgentError(
            "--device cuda: torch finds no GPU here; install a build of torch for it, or add --tiny --device cpu"
        )
    gpu_check(arguments, command_line("gpu-check", argv))
