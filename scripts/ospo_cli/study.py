"""Study of what credit assignment gains, with seeds and intervals.

Seven parts, each of which prints its tables:

learning        curves of OSPO and GRPO on the embedded tasks; rollouts to GRPO's final value; unseen retrievers
accuracy        whether credit, and the advantages of tokens made of it, tell right phrases from wrong ones
true-advantage  the advantage of each phrase by Monte Carlo (after --steps of training), and what each method lays there
ablations       other solutions, redistributions, budgets, widths and segments than the defaults
real            the H&M slice given by --data: raw query, warm start, GRPO, OSPO
real-lm         a pretrained language model (--policy) on prepared data sets (--data nfcorpus=DIR ...): references
                without a model, warm start, learners; pools and the whole corpus; seen and unseen retrievers
turns           search in turns by the tiny policy: one turn, two, and two with the titles hidden

Each training run is a process of its own on one thread and leaves one file of compressed JSON. Run the command again
after an interruption: what is finished is kept. In `learning`, the learning rate of each method is chosen on validation
queries with seeds of their own, by sampled or by greedy rewrites (--select); the reported seeds and the test split
are touched afterwards.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._cli import Parser
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_directory
from ospo_cli._study.plan import ABLATIONS, METHODS, TASKS, TRAINED_ON
from ospo_cli._study.real_lm.plan import DATA_SETS, learner_settings
from ospo_cli._study.real_lm.plan import METHODS as LM_METHODS

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--quick --out runs/study-quick",
    "ablations --seeds 3 --methods ospo leave-one-out myerson",
)
# What a part does where the command line says nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "learning": {"tasks": ["shopping", "fashion"], "methods": ["grpo", "ospo"], "seeds": 10, "steps": 100},
    "accuracy": {"tasks": ["shopping", "fashion"], "methods": [], "seeds": 3, "steps": 1},
    "true-advantage": {"tasks": ["shopping", "fashion"], "methods": [], "seeds": 3, "steps": 0},
    "ablations": {"tasks": ["shopping"], "methods": list(ABLATIONS), "seeds": 3, "steps": 100},
    "real": {"tasks": ["hm"], "methods": ["grpo", "ospo"], "seeds": 3, "steps": 100},
    "real-lm": {"tasks": [], "methods": ["grpo", "ospo", "state"], "seeds": 3, "steps": 60},
    "turns": {"tasks": ["shopping"], "methods": [], "seeds": 3, "steps": 60},
}
_OF_LM = ("texts_only", "by_words", "by_query_weight")
_RATES = [1.5e-4, 3e-4, 6e-4]
_MEASURED = ("accuracy", "true-advantage", "real-lm", "turns")  # parts that train nothing for a curve
_QUICK: dict[str, Any] = {"seeds": 2, "steps": 50, "selection_seeds": 0}
_QUICK_LM: dict[str, Any] = {"seeds": 1, "steps": 4, "methods": ["grpo", "ospo"], "unseen": ["lsa"]}


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("study", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("part", nargs="?", choices=list(_DEFAULTS), default="learning", help="part of the study to run")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/study"),
        help="directory of the training runs, which an interrupted study goes on from",
    )
    parser.add_argument(
        "--quick", action="store_true", help="run two seeds, few steps and one task, to try the command"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        help="prepared H&M directory, for the part real; for real-lm each data set with its prepared directory, such "
        f"as nfcorpus=runs/data/nfcorpus, of {', '.join(DATA_SETS)}; NAME@OTHER=DIR measures on NAME the policies that "
        "learned on OTHER",
    )
    parser.add_argument(
        "--policy",
        help="directory or hub id of the language model, for the part real-lm, as `ospo model smollm2 --out DIR` "
        "writes it; without it the references alone are measured",
    )
    parser.add_argument(
        "--candidates",
        nargs="+",
        choices=("pool", "corpus"),
        default=["pool", "corpus"],
        help="documents that the part real-lm measures on",
    )
    parser.add_argument(
        "--tasks", nargs="+", choices=list(TASKS), help="tasks to train on (default: those of the part)"
    )
    names = list(dict.fromkeys([*METHODS, *ABLATIONS, *LM_METHODS]))
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=names,
        metavar="NAME",
        help=f"methods to train, of {', '.join(names)} (default: those of the part)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        help="number of seeds to report; 0 in the part learning: choose rates only; 0 in real-lm: train no learner",
    )
    parser.add_argument("--steps", type=int, help="optimiser steps of each run, of 64 rollouts each")
    parser.add_argument("--every", type=int, default=25, help="steps between evaluations")
    parser.add_argument(
        "--learning-rate",
        type=float,
        help="learning rate of runs for which none is chosen (default: 0.0003; real-lm: 2e-05)",
    )
    parser.add_argument(
        "--learning-rates",
        nargs="+",
        type=float,
        help="learning rates to choose from (default: 1.5e-4 3e-4 6e-4; real-lm: that of --learning-rate alone)",
    )
    parser.add_argument(
        "--select",
        choices=("sampled", "greedy"),
        default="sampled",
        help="rewrites whose final value chooses the learning rate",
    )
    parser.add_argument("--selection-seeds", type=int, help="number of seeds of that choice; 0 makes none (default: 2)")
    parser.add_argument("--selection-steps", type=int, default=100, help="optimiser steps of the runs for that choice")
    parser.add_argument(
        "--unseen", nargs="+", help="retrievers that training does not see (default: lsa chargram; quick: fewer)"
    )
    parser.add_argument(
        "--by-words",
        nargs="+",
        type=int,
        default=[],
        metavar="WORDS",
        help="measure the texts of the part real-lm again where only their first words count, such as 4 8 16 32",
    )
    parser.add_argument(
        "--by-query-weight",
        nargs="+",
        type=int,
        default=[],
        metavar="TIMES",
        help="measure them again where the query counts so often, such as 1 3 6",
    )
    parser.add_argument(
        "--texts-only",
        action="store_true",
        help="stop the part real-lm when all texts are written, for example on a GPU; without it the same command "
        "measures them and prints the tables, where there is none too",
    )
    parser.add_argument(
        "--few-calls",
        metavar="RETRIEVER",
        help="compare credit at few calls with that of all texts under this retriever, such as dense:DIR, for the part "
        "accuracy in place of its tables",
    )
    add_modes(parser)
    parser.add_argument("--processes", type=int, default=2, help="number of training runs at once, one thread each")
    parser.add_argument("--cell", help="one training run as JSON; the program itself uses this option")
    arguments = parser.parse_args(argv)
    quick = _QUICK_LM if arguments.part == "real-lm" else _QUICK
    defaults = {**_DEFAULTS[arguments.part], "selection_seeds": 2, **(quick if arguments.quick else {})}
    if arguments.quick:
        defaults["tasks"] = defaults["tasks"][:1]
    for name, value in {"unseen": ["lsa", "chargram"], **defaults}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.learning_rate is None:
        arguments.learning_rate = 2e-5 if arguments.part == "real-lm" else 3e-4
    if arguments.learning_rates is None:
        arguments.learning_rates = [arguments.learning_rate] if arguments.part == "real-lm" else _RATES
    for name in ("tasks", "methods", "unseen", "learning_rates", "candidates"):
        setattr(arguments, name, list(dict.fromkeys(getattr(arguments, name))))
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train what is missing, print the tables."""
    arguments = parse(argv)
    from ospo_cli._study.parts import study  # slow to import, and not needed for --help

    study(arguments)


def _check(arguments: Namespace) -> None:
    check_directory("--out", arguments.out)
    fewest = 0 if arguments.part == "true-advantage" else 1  # steps before the measurement
    # Without seeds, rates are chosen and that is all; or what needs no training run is measured.
    seeds = 0 if arguments.part in ("learning", "real-lm") else 1
    counts = {"seeds": seeds, "steps": fewest, "every": 1, "processes": 1, "selection_steps": 1}
    for name, least in counts.items():
        if getattr(arguments, name) < least:
            raise AgentError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(arguments, name)}")
    if arguments.selection_seeds < 0:
        raise AgentError(f"--selection-seeds: expected at least 0, got {arguments.selection_seeds}")
    if arguments.part not in _MEASURED and arguments.steps % arguments.every:
        raise AgentError(f"--every: expected a divisor of --steps {arguments.steps}, got {arguments.every}")
    if TRAINED_ON in arguments.unseen:
        raise AgentError(
            f"--unseen: expected retrievers that training does not see; {TRAINED_ON} is the one that it does"
        )
    if arguments.few_calls is not None and arguments.part != "accuracy":
        raise AgentError(f"--few-calls is of the part accuracy, not of {arguments.part}; leave it out")
    methods = LM_METHODS if arguments.part == "real-lm" else {**METHODS, **ABLATIONS}
    if unknown := [name for name in arguments.methods if name not in methods]:
        raise AgentError(f"--methods: expected of {', '.join(methods)} in the part {arguments.part}, got {unknown[0]}")
    if arguments.part == "real-lm":
        _check_real_lm(arguments)
    elif misplaced := [name for name in _OF_LM if getattr(arguments, name)]:
        option = misplaced[0].replace("_", "-")
        raise AgentError(f"--{option} is of the part real-lm, not of {arguments.part}; leave it out")
    else:
        _check_tasks(arguments)


def _check_tasks(arguments: Namespace) -> None:
    """Check what the parts with tasks of this project's own need, and make a path of the directory of real data."""
    if arguments.policy is not None:
        raise AgentError(f"--policy is of the part real-lm, not of {arguments.part}; leave it out")
    real = arguments.part == "real"
    for task in arguments.tasks:
        if TASKS[task].needs_data != real:
            known = [name for name, about in TASKS.items() if about.needs_data == real]
            raise AgentError(f"--tasks: expected of {', '.join(known)} in the part {arguments.part}, got {task}")
    if real and arguments.data is None:
        raise AgentError("--data: the part real needs a prepared H&M directory, as `ospo prepare hm` writes it")
    if arguments.data is not None:
        if len(arguments.data) > 1:
            raise AgentError(f"--data: expected one directory in the part {arguments.part}, got {len(arguments.data)}")
        arguments.data = Path(arguments.data[0])


def _check_real_lm(arguments: Namespace) -> None:
    """Check what only this part needs, and make a mapping of its data sets."""
    pairs = [text.partition("=") for text in arguments.data or ()]
    for name, equals, path in pairs:
        task, at, source = name.partition("@")
        if not equals or not path or task not in DATA_SETS:
            raise AgentError(
                f"--data: expected NAME=DIR with a name of {', '.join(DATA_SETS)}, got {(name + equals + path)[:80]!r}"
            )
        if at and (source == task or source not in {other for other, *_ in pairs} & set(DATA_SETS)):
            raise AgentError(
                f"--data {name}: expected another data set of --data behind @, whose policies are measured on {task}; "
                f"got {source[:80]!r}"
            )
    if not pairs:
        raise AgentError("--data: the part real-lm needs data sets, such as nfcorpus=DIR")
    for name, least, most in (("by_words", 1, 65_536), ("by_query_weight", 1, 100)):
        if wrong := [value for value in getattr(arguments, name) if not least <= value <= most]:
            raise AgentError(f"--{name.replace('_', '-')}: expected {least} to {most}, got {wrong[0]}")
    for task in [name for name, *_ in pairs if "@" not in name]:  # on another one nothing is trained
        _check_learners(task, arguments.methods)
    if wrong_rates := [rate for rate in arguments.learning_rates if not rate > 0]:
        raise AgentError(f"--learning-rates: expected rates above 0, got {wrong_rates[0]:g}")
    arguments.data = {name: path for name, _, path in pairs}


def _check_learners(task: str, methods: Sequence[str]) -> None:
    """Refuse two names of one learner: their runs would differ by nothing but their names."""
    known: list[tuple[str, dict[str, Any]]] = []
    for method in methods:
        settings = learner_settings(task, LM_METHODS[method])
        same = [other for other, of_other in known if of_other == settings]
        if same:
            raise AgentError(f"--methods: {same[0]} and {method} are one learner on {task}; leave one out")
        known.append((method, settings))
