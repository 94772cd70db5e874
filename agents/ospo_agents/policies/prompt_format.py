"""Prompt format: how a task's prompt becomes a conversation, and where in a completion the rewrite stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["INSTRUCTION", "PromptFormat"]

INSTRUCTION = (
    "You write queries for a product search engine. The message says what a shopper looks for; earlier purchases, if "
    "there are any, follow after a vertical bar and show the shopper's taste. Rewrite it as short catalogue phrases "
    "separated by commas: product type, brand, colour, material, pattern, use, features; no sentences, no prices, "
    "nothing that is unlikely to stand in a product's description. You may reason briefly first. Then write the "
    "rewrite, and nothing else, between <answer> and </answer>."
)
"""Instruction for a general model, for queries with and without a purchase history."""

# The innermost pair: an opening tag that the reasoning mentions does not open the answer.
_ANSWER = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)


@dataclass(frozen=True)
class PromptFormat:
    """Text around prompt and rewrite of one policy; stored with its weights.

    Attributes:
        instruction: System message; empty for none (a policy trained from scratch needs none).
        answer_tags: Whether the rewrite stands between ``<answer>`` tags, after optional reasoning.
        system_role: Whether the chat template has a system role; without, the instruction opens the user's message.
    """

    instruction: str = ""
    answer_tags: bool = False
    system_role: bool = True

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PromptFormat":
        """The format that ``dataclasses.asdict`` wrote."""
        return cls(
            instruction=str(value["instruction"]),
            answer_tags=bool(value["answer_tags"]),
            system_role=bool(value.get("system_role", True)),
        )

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """The conversation that the policy's chat template renders."""
        if not self.instruction:
            return [{"role": "user", "content": prompt}]
        if not self.system_role:
            return [{"role": "user", "content": f"{self.instruction}\n\n{prompt}"}]
        return [{"role": "system", "content": self.instruction}, {"role": "user", "content": prompt}]

    def completion(self, rewrite: str) -> list[dict[str, str]]:
        """The assistant's turn that holds a rewrite, for supervised training."""
        content = f"<answer>{rewrite}</answer>" if self.answer_tags else rewrite
        return [{"role": "assistant", "content": content}]

    def answer_span(self, completion: str) -> tuple[int, int] | None:
        """Character span ``[start, end)`` of the rewrite inside a completion, white space trimmed.

        With tags, the rewrite stands in the last complete pair without a tag inside. None for a malformed completion,
        which has no such pair. A blank rewrite is well formed and gives an empty span.

        >>> PromptFormat().answer_span(" red shoe ")
        (1, 9)
        >>> PromptFormat(answer_tags=True).answer_span("red? <answer>red shoe</answer>")
        (13, 21)
        >>> PromptFormat(answer_tags=True).answer_span("<answer>red shoe") is None
        True
        """
        start, end = 0, len(completion)
        if self.answer_tags:
            pairs = list(_ANSWER.finditer(completion))
            if not pairs:
                return None
            start, end = pairs[-1].span(1)
        inner = completion[start:end]
        start += len(inner) - len(inner.lstrip())
        return start, start + len(inner.strip())

    def rewrite(self, completion: str) -> str | None:
        """The rewrite inside a completion; ``None`` where it is malformed."""
        span = self.answer_span(completion)
        return None if span is None else completion[slice(*span)]
