"""Commands that a page suggests, quoted for a shell: a run's names may be a stranger's."""

import shlex

from ospo_cli._report.runs import Run

__all__ = ["suggested_commands"]


def suggested_commands(run: Run) -> dict[str, str]:
    """Commands and options to paste.

    Args:
        run: The run of the page.

    Returns:
        ``evaluate``, which writes an evaluation into the run, ``evaluation``, the option that names it, ``policy``, the
        option that evaluates the run, and ``retrievers``, the option with its retriever alone.
    """
    arguments, file = run.arguments, str(run.path / "eval.json")
    data = [] if arguments["data"] is None else ["--data", arguments["data"]]
    policy = ["--policy", "query", str(run.path)]
    retrievers = ["--retrievers", ",".join(dict.fromkeys([arguments["retriever"], "lsa"]))]
    command = ["ospo", "evaluate", "--env", arguments["env"], *data, *policy, *retrievers, "--json", file]
    return {
        "evaluate": shlex.join(command),
        "evaluation": shlex.join(["--evaluation", file]),
        "policy": shlex.join(policy),
        "retrievers": shlex.join(["--retrievers", arguments["retriever"]]),
    }
