"""Episodes in turns by a causal LM: it writes a line, reads the reply, and writes the next line or ends.

A whole episode is one completion. The model's own tokens are the episode's text, a line for each turn; tokens of
replies stand between them and are marked, so that they are neither credited nor trained on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ospo_agents.errors import AgentError
from ospo_agents.policies.generation import complete

__all__ = ["Reply", "TurnCompletion", "line_breaks", "write_turns"]

_BREAKS: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, tuple[int, ...]]] = WeakKeyDictionary()
"""Line breaks of tokenizers that were asked before: a vocabulary takes a second to look through."""

Reply: TypeAlias = Callable[[Sequence[int], Sequence[str]], Sequence[str]]
"""A function from rows of a batch and the lines that were written there to the texts that are read next."""


@dataclass
class TurnCompletion:
    """An episode as tokens.

    Attributes:
        token_ids: Tokens of the completion, the end token included.
        generated: For each 1 if the model wrote it, 0 if it is of a reply.
        turns: Lines that the model wrote, with or without the line break; a blank one is none.
    """

    token_ids: list[int] = field(default_factory=list)
    generated: list[int] = field(default_factory=list)
    turns: int = 0

    @property
    def own(self) -> list[int]:
        """Tokens that the model wrote."""
        return [token for token, own in zip(self.token_ids, self.generated, strict=True) if own]

    def extend(self, token_ids: Sequence[int], *, generated: bool) -> None:
        """Add tokens at the end."""
        self.token_ids.extend(token_ids)
        self.generated.extend([int(generated)] * len(token_ids))


def write_turns(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[list[int]],
    reply: Reply,
    *,
    max_turns: int,
    settings: dict[str, Any],
) -> list[TurnCompletion]:
    """One episode for each context, by one batch of generation and one call of ``reply`` a turn.

    An episode goes on where a line break ends a line. It ends with the model's end token, which answers where it stands
    at the start of a line, with a blank line, which answers too, with the last turn, and where a line reaches the bound
    on its tokens. One token ends a line; others that hold a line break are not sampled, so that the text of the model's
    own tokens, blank space around it left out, has exactly the lines that were replied to and the last one.

    Args:
        model: The causal LM.
        tokenizer: Its tokenizer.
        contexts: Tokens of each prompt, length B.
        reply: Gives what is read after a line.
        max_turns: Turns of an episode at most.
        settings: Result of :func:`ospo_agents.policies.generation.generation_settings`; its ``max_new_tokens`` is for a
            line.

    Raises:
        AgentError: The tokenizer has no token for a line break.
    """
    end_of_line, others = line_breaks(tokenizer)
    until = {**settings, "eos_token_id": sorted({*settings["eos_token_id"], end_of_line})}
    if others:
        until["suppress_tokens"] = list(others)
    episodes = [TurnCompletion() for _ in contexts]
    running = list(range(len(contexts)))
    while running:
        written = complete(model, tokenizer, [contexts[row] + episodes[row].token_ids for row in running], until)
        going: dict[int, str] = {}
        for row, line in zip(running, written, strict=True):
            episode = episodes[row]
            episode.extend([*line.token_ids, *([] if line.end is None else [line.end])], generated=True)
            text = tokenizer.decode(line.token_ids, skip_special_tokens=True)
            if not text.strip():
                continue
            episode.turns += 1
            if line.end == end_of_line and episode.turns < max_turns:
                going[row] = text
        running = list(going)
        if running:
            for row, text in zip(running, reply(running, list(going.values())), strict=True):
                episodes[row].extend(tokenizer.encode(text, add_special_tokens=False), generated=False)
    return episodes


def line_breaks(tokenizer: PreTrainedTokenizerBase) -> tuple[int, tuple[int, ...]]:
    """The token that is a line break, and all others that hold one.

    Raises:
        AgentError: No token is a line break.
    """
    if tokenizer not in _BREAKS:
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], skip_special_tokens=True)
        plain = [token for token, text in enumerate(texts) if text == "\n"]
        if not plain:
            raise AgentError("episodes in turns need a tokenizer with a token for a line break, but this one has none")
        others = tuple(token for token, text in enumerate(texts) if "\n" in text and token != plain[0])
        _BREAKS[tokenizer] = plain[0], others
    return _BREAKS[tokenizer]
