"""What the programs share: how an error reaches the person who typed the command."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from envs_data import DataError
from ospo_env import RetrieverError, TaskError


def run(main: Callable[[Sequence[str] | None], None], *more_errors: type[Exception]) -> NoReturn:
    """Run a program's main function and leave with its exit code: 0, 2 for bad input, 130 when interrupted.

    Args:
        main: Takes the arguments, ``None`` for those of the command line.
        more_errors: Further exceptions whose message is meant for the user.
    """
    try:
        main(None)
    except (DataError, TaskError, RetrieverError, *more_errors) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that shows defaults and keeps the description's lines."""
