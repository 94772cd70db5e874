"""Tasks in several threads give what they give in one; after a fork, work that would hang says so."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ospo_env.retrievers import Corpus, make_retriever
from ospo_env.scoring.text_cache import TextCache
from paths import ROOT
from shop import COLOURS, MATERIALS, TYPES, Wrapped, all_coalitions, documents, task

IDS = ["q00", "q01", "q04", "q05"]


@pytest.fixture(autouse=True)
def _many_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Slow(Wrapped):
    """Counts how many threads are inside at once."""

    def __init__(self):
        super().__init__(make_retriever("bm25", Corpus.of_texts(documents(), "slow")))
        self.inside = self.most = 0

    def score_pools(self, texts, pools):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.01)
        self.inside -= 1
        return super().score_pools(texts, pools)

    def rank_corpus(self, text, k):
        self.score_pools([text], np.zeros((1, 1), dtype=np.int32))
        return super().rank_corpus(text, k)


def test_a_retriever_serves_one_thread_at_a_time():
    retriever = Slow()
    tasks = [task(retriever, candidates=candidates) for candidates in ("pool", "pool", "corpus")]
    with ThreadPoolExecutor(6) as executor:
        list(executor.map(lambda n: tasks[n % 3].rewards(["q00"], [f"red {n}"]), range(24)))
    assert retriever.most == 1
    pools = np.zeros((1, 1), dtype=np.int32)
    with ThreadPoolExecutor(6) as executor:
        list(executor.map(lambda n: retriever.score_pools(["red"], pools), range(24)))
    assert retriever.most > 1  # the negative control: alone, it would have been used by several


@pytest.mark.parametrize("candidates", ["pool", "corpus"])
@pytest.mark.parametrize("name", ["bm25", "lsa", "chargram"])
def test_threads_change_no_value(name, candidates):
    rng = np.random.default_rng(3)
    words = [*COLOURS, *MATERIALS, *TYPES, "zzz"]
    texts = [" ".join(rng.choice(words, size=4)) for _ in range(40)]
    spans = [[(0, text.index(" ")), (text.index(" "), len(text))] for text in texts]

    def work(made, n):
        text, prompt_id = texts[n % 40], IDS[n % 4]
        (worths,) = made.coalition_values([prompt_id], [text], [spans[n % 40]], [all_coalitions(2)])
        return made.outcomes([prompt_id], [text])[0], worths.tolist()

    alone, shared = task(name, candidates=candidates), task(name, candidates=candidates)
    expected = [work(alone, n) for n in range(200)]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(lambda n: work(shared, n), range(200)))
    assert found == expected
    assert shared.counters["asked"] == alone.counters["asked"]


def test_a_cache_that_is_always_full_serves_threads():
    cache = TextCache(3_000)  # six entries

    def look_up(n):
        keys = [(0, str((n * 7 + offset) % 30)) for offset in range(4)]
        arrays = cache.arrays(keys, lambda missing: [np.full(3, float(text)) for _, text in missing])
        return all((arrays[key] == float(key[1])).all() for key in keys)

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(look_up, range(3_000)))
    assert 0 < len(cache) <= 7
    assert cache.counters["distinct"] == 12_000


def test_a_retriever_may_ask_another_task():
    """Locks are taken in no order that could lock two threads out."""
    inner = task("bm25")

    class Asking(Wrapped):
        def score_pools(self, texts, pools):
            inner.rewards(["q00"] * len(texts), list(texts))
            return super().score_pools(texts, pools)

    outer = task(Asking(make_retriever("bm25", Corpus.of_texts(documents(), "asking"))))
    with ThreadPoolExecutor(4) as executor:
        calls = [executor.submit((outer, inner)[n % 2].rewards, ["q00"], [f"red {n}"]) for n in range(40)]
        assert all(call.result(timeout=30).shape == (1,) for call in calls)


FORKS = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from ospo_env import RetrievalTask, RewriteEnv, make_reference_policy
from shop import Wrapped, all_coalitions, shop, task

TEXT, SPANS = "blue wool, linen coat", [(0, 5), (5, 11), (11, 17), (17, 21)]
tasks = {name: task(name) for name in ("bm25", "lsa", "chargram", "fusion:bm25+lsa")}
corpus = {name: task(name, candidates="corpus") for name in ("bm25", "lsa")}
env = RewriteEnv(data=shop(), render_mode="ansi")
env.reset(seed=0)
env.step("red")
env.render()
for each in (*tasks.values(), *corpus.values()):
    each.outcomes(["q00"], ["red wool"])
bm25 = tasks["bm25"]
bm25.prompts("train"), bm25.judgements(["q00"])
prf = make_reference_policy("prf", bm25)

class Waiting(Wrapped):
    def score_pools(self, texts, pools):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(3)
        return super().score_pools(texts, pools)

waiting = task(Waiting(bm25.retriever))
threading.Thread(target=waiting.rewards, args=(["q00"], ["held by a thread while the process forks"])).start()
time.sleep(0.5)

def step():
    env.reset(seed=1)
    env.step("wool bag")

WORK = {
    "step": step,
    "waiting": lambda: waiting.rewards(["q00"], ["red"]),
    "prf": lambda: prf(["q01"], [""]),
    "query": lambda: bm25.query("q00"),
    "bm25 corpus": lambda: corpus["bm25"].outcomes(["q00"], ["blue"]),
    **{name: lambda each=each: each.outcomes(["q00"], ["blue"]) for name, each in tasks.items()},
    **{f"{name} coalitions": lambda each=each: each.coalition_values(["q00"], [TEXT], [SPANS], [all_coalitions(4)])
       for name, each in tasks.items()},
}
REFUSED = {
    "prompts": lambda: bm25.prompts("train"),
    "judgements": lambda: bm25.judgements(["q00"]),
    "demonstrations": bm25.demonstrations,
    "texts": lambda: list(bm25.texts()),
    "render": env.render,
    "oracle": lambda: make_reference_policy("oracle", bm25)(["q00"], [""]),
    "task": lambda: RetrievalTask(shop()),
    "env": lambda: RewriteEnv(data=shop()),
    "lsa corpus": lambda: corpus["lsa"].outcomes(["q00"], ["blue"]),
}
for name, work in {**WORK, **REFUSED}.items():
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            work()
            print(name, "works", flush=True)
        except Exception as error:
            print(name, "refused" if "pass context='spawn'" in str(error) else repr(error), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name, "hangs", flush=True)
print("expected", sorted(WORK), sorted(REFUSED))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_work_goes_on_or_says_that_it_would_hang():
    """Two threads a library, as by default; with one, some of the refused would not hang."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "2")
    environment = {**os.environ, **threads, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}"}
    finished = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, env=environment, check=True, timeout=300
    )
    *lines, expected = finished.stdout.splitlines()
    works = sorted(line.removesuffix(" works") for line in lines if line.endswith(" works"))
    refused = sorted(line.removesuffix(" refused") for line in lines if line.endswith(" refused"))
    assert f"expected {works} {refused}" == expected, lines


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_refused_would_hang():
    """The negative control: polars waits for threads that are not there."""
    program = (
        "import os, signal, polars as pl\n"
        "frame = pl.DataFrame({'a': range(1000)})\n"
        "frame.filter(pl.col('a') > 3)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(5)\n"
        "    frame.filter(pl.col('a') > 3)\n"
        "    os._exit(0)\n"
        "print(os.waitpid(child, 0)[1] == signal.SIGALRM)\n"
    )
    environment = {**os.environ, "POLARS_MAX_THREADS": "2"}
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert finished.stdout == "True\n"
