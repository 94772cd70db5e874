"""The clause on retrievers that tell which texts hold a token that they know."""

import numpy as np

from ospo_env.conformance.messages import clause, quoted
from ospo_env.conformance.retriever.case import Case

__all__ = ["check_known_tokens"]

_BLANK_TEXTS = ("", " ", "\n\t", "\u3000")


@clause("known_tokens")
def check_known_tokens(case: Case, rng: np.random.Generator) -> str | None:
    """``has_known_tokens``, if it exists, gives a bool (B,): True for texts that match, False for unknown ones."""
    tell = getattr(case.retriever, "has_known_tokens", None)
    if tell is None:
        return None
    unknown = [*_BLANK_TEXTS, *case.unknown]
    texts = [*unknown, *case.texts]
    known: object = tell(texts)
    if not isinstance(known, np.ndarray) or known.dtype != np.bool_ or known.shape != (len(texts),):
        what = f"{known.dtype} {known.shape}" if isinstance(known, np.ndarray) else type(known).__name__
        return f"expected a bool array of shape ({len(texts)},) from has_known_tokens; got {what}"
    flags: list[bool] = known.tolist()
    for text, is_known in zip(unknown, flags[: len(unknown)], strict=True):
        if is_known:
            return f"{quoted(text)} holds a known token by has_known_tokens, but has to match nothing"
    for text, is_known, row in zip(case.texts, flags[len(unknown) :], case.scores(*case.texts), strict=True):
        if not is_known and (row > -np.inf).any():
            return f"{quoted(text)} matches a document, but holds no known token by has_known_tokens"
    return None
