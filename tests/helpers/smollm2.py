"""The directory of SmolLM2-135M-Instruct, which ``ospo model smollm2`` writes; ``None`` where nobody fetched it."""

import os
from pathlib import Path

import pytest

VARIABLE = "OSPO_SMOLLM2"
DIRECTORY = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None

needs_smollm2 = pytest.mark.skipif(
    DIRECTORY is None,
    reason=f"needs a language model: ospo model smollm2 --out DIR, then set {VARIABLE}=DIR",
)
