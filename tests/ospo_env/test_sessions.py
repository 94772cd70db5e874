"""Sessions of a server share a task: what they ask at the same time is one call, and none fails another's."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref

import gymnasium as gym
import pytest

from ospo_env import TaskError
from ospo_env.integrations.batches import Batches
from ospo_env.integrations.sessions import MissingTaskError, Rewrite, SharedTask


class Task:
    """A task whose outcome of a text is its length, and that counts its calls."""

    def __init__(self):
        self.calls = []

    def prompts(self, split):
        return ([f"{split}-{row}" for row in range(3)], ["red coat"] * 3) if split != "validation" else ([], [])

    def outcomes(self, query_ids, texts):
        self.calls.append(len(texts))
        return [len(text) for text in texts]


def run(coroutine):
    return asyncio.run(coroutine)


def test_concurrent_requests_are_one_call():
    task = Task()
    shared = SharedTask(task)

    async def sessions():
        return await asyncio.gather(*(shared.batches(Rewrite("train-0", "a" * number)) for number in range(256)))

    results = run(sessions())
    assert [outcome for outcome, _ in results] == list(range(256))
    assert task.calls == [256]


def test_requests_that_come_during_a_call_are_the_next_one():
    served = []

    def serve(numbers):
        served.append(list(numbers))
        return [-number for number in numbers]

    async def sessions():
        batches = Batches(serve, most=3)
        first = asyncio.create_task(batches(0))
        while not served:
            await asyncio.sleep(0)
        rest = await asyncio.gather(*(batches(number) for number in range(1, 6)))
        return [await first, *rest]

    assert run(sessions()) == [0, -1, -2, -3, -4, -5]
    assert served[0] == [0]
    assert sorted(number for batch in served for number in batch) == list(range(6))
    assert max(map(len, served)) == 3


def test_a_failing_call_fails_its_batch_and_no_other():
    def serve(numbers):
        if 0 in numbers:
            raise RuntimeError("no index")
        return list(numbers)

    async def sessions():
        batches = Batches(serve)
        results = await asyncio.gather(batches(0), batches(1), return_exceptions=True)
        return results, await batches(2)

    (first, second), later = run(sessions())
    assert isinstance(first, RuntimeError)
    assert isinstance(second, RuntimeError)
    assert later == 2


def test_a_session_that_leaves_harms_no_other():
    async def sessions():
        batches = Batches(lambda numbers: list(numbers))
        gone = asyncio.create_task(batches(1))
        stays = asyncio.create_task(batches(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert run(sessions()) == 2


def test_requests_whose_callers_have_gone_are_not_served():
    served = []

    async def sessions():
        def serve(numbers):
            served.append(list(numbers))
            return list(numbers)

        batches = Batches(serve)
        running = asyncio.create_task(batches(0))
        waiting = [asyncio.create_task(batches(number)) for number in (1, 2)]
        gone = waiting[0]
        await asyncio.sleep(0)
        gone.cancel()
        assert await asyncio.gather(running, waiting[1]) == [0, 2]
        alone = asyncio.create_task(batches(3))
        await asyncio.sleep(0)
        alone.cancel()
        return await batches(4)

    assert run(sessions()) == 4
    assert sorted(number for batch in served for number in batch) == [0, 2, 4]


def test_callers_that_give_up_are_not_kept_while_a_call_hangs():
    free = threading.Event()

    class Question:
        pass

    async def sessions():
        batches = Batches(lambda questions: free.wait(30) and list(questions))
        hanging = asyncio.create_task(batches(Question()))
        while not batches.calls:
            await asyncio.sleep(0)
        given_up = [Question() for _ in range(9)]
        alive = [weakref.ref(question) for question in given_up]
        tasks = [asyncio.create_task(asyncio.wait_for(batches(question), 0.001)) for question in given_up]
        del given_up
        await asyncio.sleep(0)
        kept = sum(question() is not None for question in alive)
        await asyncio.wait(tasks)
        assert all(isinstance(task.exception(), TimeoutError) for task in tasks)
        del tasks
        gc.collect()
        left = sum(question() is not None for question in alive)
        free.set()
        await hanging
        return kept, left

    kept, left = run(sessions())
    assert (kept, left) == (9, 0)


def test_a_process_does_not_wait_for_a_call_that_hangs():
    program = """
import asyncio, threading
from ospo_env.integrations.batches import Batches
batches = Batches(lambda numbers: threading.Event().wait())
async def leave():
    asyncio.create_task(batches(1))
    while not batches.calls:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
asyncio.run(leave())
print("left")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr


def test_a_thread_ends_with_its_batches():
    batches = Batches(lambda numbers: list(numbers))
    assert run(batches(1)) == 1
    thread = batches._thread._thread
    assert thread.is_alive()
    del batches
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_credit_is_given_to_those_that_ask_in_one_call():
    asked = []

    def credit(query_ids, texts):
        asked.append(list(texts))
        return [[(0, len(text), 1.0)] for text in texts]

    shared = SharedTask(Task(), credit)
    rewrites = [Rewrite("train-0", "aa", True), Rewrite("train-1", "b"), Rewrite("train-2", "ccc", True)]
    results = shared.measure(list(map(shared.check, rewrites)))
    assert [segments for _, segments in results] == [[(0, 2, 1.0)], (), [(0, 3, 1.0)]]
    assert asked == [["aa", "ccc"]]
    shared.measure(rewrites[1:2])
    assert len(asked) == 1


def test_what_is_not_there_is_refused():
    shared = SharedTask(Task())
    assert shared.splits == ["train", "validation", "test"]
    assert (shared.count("train"), shared.prompt("train", 2), shared.place("test-1")) == (
        3,
        ("train-2", "red coat"),
        ("test", 1),
    )
    for call, message in (
        (lambda: shared.count("trian"), "unknown split 'trian'; did you mean 'train'"),
        (lambda: shared.count("validation"), "expected prompts in the split 'validation', but it has none"),
        (lambda: shared.place("train-7"), "unknown query_id 'train-7'"),
        (lambda: shared.check(Rewrite("train-0", "a", True)), "this server gives no credit"),
        (lambda: shared.check(Rewrite("train-0", "a" * 100_001)), "at most 100,000 characters"),
    ):
        with pytest.raises(TaskError, match=message):
            call()
    for row in (3, -1, True, 1.0):
        with pytest.raises(MissingTaskError, match=r"expected an index in 0 .. 2 of the split 'train'; got"):
            shared.prompt("train", row)


def test_outcomes_are_those_of_the_environment():
    env = gym.make("ospo_env:OSPO-ESCI-v0")
    _, info = env.reset(seed=6)
    shared = SharedTask(env.unwrapped.task)
    ((outcome, segments),) = shared.measure([Rewrite(info["query_id"], "slide sandal, womens")])
    assert outcome.reward == env.step("slide sandal, womens")[1] > 0
    assert segments == ()
