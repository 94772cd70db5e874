"""How a task's prompt becomes a conversation, and where in a completion the rewrite stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["INSTRUCTION", "PromptFormat"]

INSTRUCTION = (
    "You rewrite a shopper's query for a product search engine. Write short catalogue phrases separated by commas: "
    "product type, brand, colour, material, use, features. You may think first. "
    "Put only the rewrite between <answer> and </answer>."
)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True)
class PromptFormat:
    """What surrounds prompt and rewrite for one policy; stored beside its weights.

    Attributes:
        instruction: System message; empty for none (a policy trained from scratch needs none).
        answer_tags: Whether the rewrite stands between ``<answer>`` tags, after optional reasoning.
    """

    instruction: str = ""
    answer_tags: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "PromptFormat":
        """The format that ``dataclasses.asdict`` wrote."""
        return cls(instruction=str(value["instruction"]), answer_tags=bool(value["answer_tags"]))

    def messages(self, prompt: str) -> list[dict[str, str]]:
        """The conversation that the policy's chat template renders."""
        system = [{"role": "system", "content": self.instruction}] if self.instruction else []
        return [*system, {"role": "user", "content": prompt}]

    def completion(self, rewrite: str) -> list[dict[str, str]]:
        """The assistant's turn that would hold this rewrite, for supervised training."""
        content = f"<answer>{rewrite}</answer>" if self.answer_tags else rewrite
        return [{"role": "assistant", "content": content}]

    def answer_span(self, completion: str) -> tuple[int, int] | None:
        """Character span ``[start, end)`` of the rewrite inside a completion, white space trimmed.

        With tags it is the last complete pair. ``None`` means malformed: no pair. A blank rewrite is well
        formed and gives an empty span.

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
