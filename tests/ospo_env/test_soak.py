"""Thousands of hostile texts: every one earns a number, alone what it earns in a batch, and memory stays flat."""

from pathlib import Path

import numpy as np
import pytest

from ospo_env.scoring.text_cache import TextCache
from shop import task

STATM = Path("/proc/self/statm")
PIECES = (
    "red wool coat", "", " \t\n", "qzxv", "x" * 500, "warm, " * 40, "👟👕", "red \ud83d shoe \udc00",
    "a\x00b\u202e\ufeff",
    "赤い靴", "обувь", "รองเท้า", "e\u0301" * 50, "ﬁ①Ⅻ", "<script>", "\x1b[31m", "{}", "%s%n",
    "' OR 1=1 --", "۱۲۳", "ß" * 9,
)  # fmt: skip


def hostile_texts(count, seed):
    rng = np.random.default_rng(seed)
    for number in range(count):
        parts = [PIECES[piece] for piece in rng.integers(len(PIECES), size=rng.integers(1, 5))]
        points = rng.integers(1, 0x10FFFF, size=rng.integers(0, 6))
        yield " ".join([*parts, "".join(map(chr, points.tolist())), str(number)])


def run(count):
    """Rewards of hostile texts in batches of 50; megabytes that the second half added."""
    on = task(retriever="bm25")
    on._scorer._cache = TextCache(2**20)
    ids = on.prompts("test")[0]
    texts = list(hostile_texts(count, seed=0))
    resident = []
    for first in range(0, count, 50):
        batch = texts[first : first + 50]
        keys = [ids[number % len(ids)] for number in range(len(batch))]
        rewards = on.rewards(keys, batch)
        assert ((rewards >= 0) & (rewards <= 1)).all()
        assert rewards[7] == on.rewards(keys[7:8], batch[7:8])[0]
        resident.append(int(STATM.read_text().split()[1]) * 4096 / 2**20)
    return resident[-1] - resident[len(resident) // 2]


@pytest.mark.skipif(not STATM.exists(), reason="the resident memory of a process is read from /proc")
def test_a_thousand_hostile_texts():
    assert run(1_000) < 16


@pytest.mark.exhaustive
@pytest.mark.skipif(not STATM.exists(), reason="the resident memory of a process is read from /proc")
def test_eleven_thousand_hostile_texts():
    assert run(11_000) < 16
