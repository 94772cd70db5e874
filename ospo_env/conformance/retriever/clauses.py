"""The clauses of a retriever's contract."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ospo_env.conformance.messages import clause_table
from ospo_env.conformance.retriever import copies, known_tokens, scores, sums
from ospo_env.conformance.retriever.case import Case

__all__ = ["CLAUSES", "Clause"]

Clause: TypeAlias = Callable[[Case, np.random.Generator], str | None]
"""From a case and a generator for pools and cuts: a counter-example in words, or ``None``."""

CLAUSES: dict[str, Clause] = clause_table(
    scores.check_protocol,
    scores.check_scores,
    scores.check_padding,
    scores.check_batch,
    scores.check_order,
    scores.check_blank,
    scores.check_blank_documents,
    scores.check_unknown,
    known_tokens.check_known_tokens,
    scores.check_twins,
    scores.check_ties,
    scores.check_corpus,
    scores.check_rank_texts,
    sums.check_linear,
    sums.check_cuts,
    copies.check_pickles,
    copies.check_processes,
    copies.check_fingerprint,
)
"""The clauses by name, in the order in which they are checked."""
