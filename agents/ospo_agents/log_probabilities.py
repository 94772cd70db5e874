"""Log-probabilities and entropies of chosen tokens, from logits, in one pass over a few rows at a time.

The matrix of logits of a large vocabulary is read from memory once, and no other of its size in float32 is made.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

__all__ = ["log_probabilities"]

_ROWS = 16  # at a time; 3 MB of float32 for a vocabulary of 49,152


def log_probabilities(
    logits: torch.Tensor, chosen: torch.Tensor, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each chosen token, which has a gradient, and the entropy of its distribution, which has none.

    Args:
        logits: Logits (N, V) of any precision, V the size of the vocabulary.
        chosen: int64 (N,), the tokens, in [0, V).
        temperature: Divisor of the logits, above 0.

    Returns:
        Two float32 (N,), computed in float32, in nats.

    >>> log_probabilities(torch.zeros(1, 4), torch.tensor([2]))
    (tensor([-1.3863]), tensor([1.3863]))
    """
    result: tuple[torch.Tensor, torch.Tensor]
    result = _LogProbabilities.apply(logits, chosen, temperature)  # type: ignore[no-untyped-call]
    return result


class _LogProbabilities(torch.autograd.Function):
    """The function with its gradient, g (1[chosen] - p) / temperature."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, chosen: torch.Tensor, temperature: float) -> Any:
        most = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
        mass, log_probs, entropy = torch.empty_like(most), torch.empty_like(most), torch.empty_like(most)
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            scaled = _scaled(logits[rows], temperature)
            most[rows] = scaled.amax(dim=-1)
            weights = scaled.sub_(most[rows, None]).exp()
            mass[rows] = weights.sum(dim=-1)
            log_probs[rows] = scaled.gather(1, chosen[rows, None])[:, 0] - mass[rows].log()
            entropy[rows] = mass[rows].log() - (weights * scaled).sum(dim=-1) / mass[rows]
        ctx.save_for_backward(logits, chosen, most, mass)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropy)
        return log_probs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        logits, chosen, most, mass = ctx.saved_tensors
        result = torch.empty_like(logits)
        weight = gradients[0] / ctx.temperature
        for first in range(0, len(logits), _ROWS):
            rows = slice(first, first + _ROWS)
            own = _scaled(logits[rows], ctx.temperature).sub_(most[rows, None]).exp_()
            own.mul_((-weight[rows] / mass[rows])[:, None])
            own.scatter_add_(1, chosen[rows, None], weight[rows, None])
            result[rows] = own
        return result, None, None


def _scaled(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """A copy of logits in float32, divided by the temperature."""
    copy = logits.to(torch.float32, copy=True)
    return copy if temperature == 1.0 else copy.div_(temperature)
