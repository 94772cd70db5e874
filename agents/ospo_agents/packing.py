"""Rows of prompts and completions, packed for one forward pass: no padding, and equal prompts of a bin read once.

A completion attends to its own tokens and to its prompt, and positions count from the prompt's first token, so that
every token sees what it saw in a row of its own. What a pass costs is then the sum of lengths and not the number of
rows times the longest of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ospo_agents.errors import AgentError

__all__ = ["Packed", "pack"]

_SHARED = -1


@dataclass(frozen=True)
class Packed:
    """Bins of packed rows.

    Attributes:
        input_ids: Tokens, int64 (R, L); 0 behind the end of a bin.
        position_ids: Place of each token in the row that it comes from, without its padding, int64 (R, L).
        attention_mask: Whether the token of the third axis sees that of the fourth, bool (R, 1, L, L).
        predictors: Bin and column of the token before each label, int64 (2, N), in the order of the labels by rows.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: torch.Tensor
    predictors: torch.Tensor


@dataclass
class _Bin:
    """Tokens that are read as one row; the group of equal prompts each belongs to, and its row if it is no prompt's."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    starts: dict[tuple[int, ...], tuple[int, int]] = field(default_factory=dict)  # prompt -> its group and column

    def length_with(self, prompt: tuple[int, ...], rest: Sequence[int]) -> int:
        """Length of the bin once it holds that row too."""
        return len(self.tokens) + len(rest) + (0 if prompt in self.starts else len(prompt))

    def add(self, prompt: tuple[int, ...], rest: Sequence[int], owner: int) -> list[int]:
        """Add a row and give the columns of its tokens."""
        if prompt not in self.starts:
            self.starts[prompt] = (len(self.starts), len(self.tokens))
            self._extend(prompt, 0, self.starts[prompt][0], _SHARED)
        group, start = self.starts[prompt]
        end = len(self.tokens)
        self._extend(rest, len(prompt), group, owner)
        return [*range(start, start + len(prompt)), *range(end, len(self.tokens))]

    def _extend(self, tokens: Sequence[int], first: int, group: int, owner: int) -> None:
        self.tokens += tokens
        self.positions += range(first, first + len(tokens))
        self.groups += [group] * len(tokens)
        self.owners += [owner] * len(tokens)


def pack(input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor, *, width: int) -> Packed:
    """Pack the rows of a batch for the log-probabilities of their labels.

    What no label needs is left out: tokens behind the one before a row's last label, and rows without labels.

    >>> ids = torch.tensor([[0, 5, 6, 7, 8], [0, 5, 6, 9, 0]])
    >>> packed = pack(ids, (ids > 0).long(), torch.tensor([[-100] * 3 + [7, 8], [-100] * 3 + [9, -100]]), width=8)
    >>> packed.input_ids, packed.predictors
    (tensor([[5, 6, 7]]), tensor([[0, 0, 0],
            [1, 2, 1]]))

    Args:
        input_ids: Tokens, int64 (B, T), padded on either side.
        attention_mask: 0 for padding, (B, T).
        labels: Tokens that are predicted; -100 for others, int64 (B, T). Those of the first column, before which
            nothing stands, are left out.
        width: Tokens of a bin, unless one row has more.

    Raises:
        AgentError: A label has only padding before it.
    """
    token_mask, label_mask = attention_mask != 0, labels != -100
    label_mask[:, 0] = False
    rows: dict[tuple[int, ...], list[tuple[int, list[int], list[int]]]] = {}
    for row, mask in enumerate(token_mask):
        positions = label_mask[row, mask].nonzero()[:, 0].tolist()
        if not positions:
            continue
        first, last = positions[0], positions[-1]
        if not first:
            raise AgentError(f"row {row}: expected a token before the first label, got padding alone; mask that label")
        tokens = input_ids[row, mask].tolist()
        rows.setdefault(tuple(tokens[:first]), []).append((row, tokens[first:last], positions))
    bins: list[_Bin] = [_Bin()]
    places: dict[int, list[tuple[int, int]]] = {}
    for prompt, members in rows.items():
        for row, rest, positions in members:
            if bins[-1].tokens and bins[-1].length_with(prompt, rest) > width:
                bins.append(_Bin())
            columns = bins[-1].add(prompt, rest, row)
            places[row] = [(len(bins) - 1, columns[position - 1]) for position in positions]
    order = [place for row in sorted(places) for place in places[row]]
    return _tensors(bins, order, input_ids.device)


def _tensors(bins: Sequence[_Bin], predictors: Sequence[tuple[int, int]], device: torch.device) -> Packed:
    """Bins padded on the right to the longest; what pads sees only what pads."""
    length = max(1, *(len(one.tokens) for one in bins))
    tokens, positions, groups, owners = (
        torch.tensor([[*values, *[padding] * (length - len(values))] for values in columns], device=device)
        for columns, padding in (
            ([one.tokens for one in bins], 0),
            ([one.positions for one in bins], 0),
            ([one.groups for one in bins], -1),
            ([one.owners for one in bins], _SHARED),
        )
    )
    group_mask = groups[:, :, None] == groups[:, None, :]
    owner_mask = (owners[:, None, :] == _SHARED) | (owners[:, None, :] == owners[:, :, None])
    causal_mask = positions[:, None, :] <= positions[:, :, None]
    return Packed(
        input_ids=tokens,
        position_ids=positions,
        attention_mask=(group_mask & owner_mask & causal_mask)[:, None],
        predictors=torch.tensor(predictors, dtype=torch.int64, device=device).reshape(-1, 2).T,
    )
