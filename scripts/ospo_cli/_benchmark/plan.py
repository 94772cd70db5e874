"""Names of the benchmark's rows. Plain data."""

__all__ = [
    "CURVES",
    "ENGINES",
    "LANGUAGE_MODEL",
    "LEAST_STEPS",
    "NEED_MODEL",
    "REAL_SIZE",
    "ROWS",
    "SERVE",
    "SETTLING_STEPS",
]

CURVES = "curves"

REAL_SIZE = "real-size"
"""Takes a quarter of an hour and 8 GB of disk, so it is measured only when it is asked for."""

ENGINES = "engines"
"""Needs ``ospo[engines]``, so that it is measured only when it is asked for."""

SERVE = "serve"
"""Needs ``ospo[serve]``, so that it is measured only when it is asked for."""

LANGUAGE_MODEL = "language-model"
"""Needs a causal language model, so that it is measured only when it is asked for."""

NEED_MODEL = ("calls", "dense", "warm")
"""Rows of an embedding model."""

ROWS = (
    "games",
    "estimators",
    "calls",
    "environments",
    "lexical",
    "dense",
    "warm",
    "price",
    "credit",
    LANGUAGE_MODEL,
    ENGINES,
    SERVE,
    REAL_SIZE,
    CURVES,
)
"""All rows, in the order in which they are measured."""

SETTLING_STEPS = 3
"""Training steps before the clock counts."""

LEAST_STEPS = SETTLING_STEPS + 1
"""The fewest steps of a training run that can be timed."""
