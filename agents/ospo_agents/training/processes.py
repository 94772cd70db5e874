"""Several processes that train together, as `accelerate launch` and `torchrun` start them."""

import os
from typing import Any

__all__ = ["is_first", "part", "processes", "wait"]


def processes() -> int:
    """Number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> Any:
    """Wait until all have come here; accelerate's state of this process comes back."""
    import torch
    from accelerate import PartialState

    # Without being told so accelerate takes processes on CPU for strangers.
    state = PartialState(cpu=not torch.accelerator.is_available())
    state.wait_for_everyone()
    return state


def part() -> None:
    """Leave the group once all have come here: a process that ends inside it may abort and take the others along."""
    import torch.distributed

    wait()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
