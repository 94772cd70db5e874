"""``http:TEMPLATE`` on a real Lucene server, Anserini's."""

import math

import numpy as np
import pytest

from lucene_server import lucene_server, needs_lucene, write_index
from ospo_env import Corpus
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.registry import resolve_retriever

pytestmark = [needs_lucene, pytest.mark.exhaustive]
TEXTS = ["red coat", "red red shoe", "blue wool coat", "linen", "green leather bag wool"]  # no stems, no stop words
PATHS = "?ids=candidates.docid&scores=candidates.score&decimals=4&cache=false"  # it sets ties apart by 1e-6


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lucene")
    with lucene_server(folder) as url:
        yield folder, url


class Joined:
    """A factory for the conformance kit, which makes corpora of its own: an index of each is written once."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url

    def __call__(self, corpus):
        name = f"kit-{corpus.digest[:12]}"
        if not (self.folder / name).exists():
            write_index(self.folder / name, corpus)
        spec = f"http:{self.url}/v1/{name}/search%3Fquery={{query}}&hits={{k}}{PATHS}"
        return resolve_retriever(spec)(corpus)


def test_the_contract(served):
    check_retriever(Joined(*served))


def test_scores_are_bm25(served):
    """Against the formula, by hand: k1 = .9, b = .4, as Anserini has them."""
    made = Joined(*served)(Corpus([f"sku-{row}" for row in range(len(TEXTS))], TEXTS))
    mean = sum(len(text.split()) for text in TEXTS) / len(TEXTS)

    def weight(word, text):
        holding = sum(word in other.split() for other in TEXTS)
        count = text.split().count(word)
        norm = 0.9 * (0.6 + 0.4 * len(text.split()) / mean)
        return math.log(1 + (len(TEXTS) - holding + 0.5) / (holding + 0.5)) * count / (count + norm)

    for query in ("red", "coat wool", "red shoe, leather"):
        words = query.replace(",", "").split()
        expected = [sum(weight(word, text) for word in words) or -np.inf for text in TEXTS]
        scores = made.score_pools([query], np.arange(len(TEXTS), dtype=np.int32)[None])[0]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
