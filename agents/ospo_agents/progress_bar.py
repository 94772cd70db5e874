"""The project's progress bars: on a terminal only, so that log files stay readable."""

from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(*arguments: Any, shown: bool = True, **settings: Any) -> Any:
    """Make a tqdm bar that draws only where standard error is a terminal.

    Args:
        *arguments: Passed to ``tqdm.tqdm``: what to iterate over, if anything.
        shown: Whether to draw it at all.
        **settings: Passed to ``tqdm.tqdm``.
    """
    return tqdm(*arguments, disable=None if shown else True, dynamic_ncols=True, **settings)  # None asks the stream
