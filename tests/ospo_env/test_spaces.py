"""FreeText: membership by length alone, seeded samples, and its place in Gymnasium's vector machinery."""

import copy
import json
import pickle

import numpy as np
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Text
from gymnasium.vector.utils import (
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
    write_to_shared_memory,
)

from ospo_env import FreeText, TaskError

LONE_SURROGATE = "\ud83d shoe"
TEXTS = ["", " ", "red shoe", "naïve ÉTÉ", "赤い靴", "👟👕", LONE_SURROGATE, "line\nbreak\x00", "a" * 100]


@pytest.mark.parametrize("text", TEXTS)
def test_membership_is_by_length_alone(text):
    assert text in FreeText(100)
    assert (text in FreeText(99)) == (len(text) <= 99)


@pytest.mark.parametrize("other", [None, 3, b"bytes", ["red"], np.array("red"), float("nan")])
def test_nothing_but_a_string_is_a_member(other):
    assert other not in FreeText(100)


def test_gymnasiums_text_would_not_do():
    """The negative control of membership: what this space is for, Gymnasium's own rejects."""
    assert "red shoe" not in Text(100)


@pytest.mark.parametrize("max_length", [0, -1, 2.5, True, "9", None])
def test_a_wrong_length_is_refused(max_length):
    with pytest.raises(TaskError, match="whole number of at least 1"):
        FreeText(max_length)


def test_samples_are_members_seeded_and_of_several_scripts():
    space = FreeText(30, seed=5)
    samples = [space.sample() for _ in range(200)]
    assert all(sample in space for sample in samples)
    again = FreeText(30, seed=5)
    assert [again.sample() for _ in range(200)] == samples
    other = FreeText(30, seed=6)
    assert [other.sample() for _ in range(200)] != samples
    assert any(not sample.isascii() for sample in samples)
    assert any(sample.isascii() for sample in samples)
    assert len(set(samples)) > 150
    json.dumps(samples).encode()
    "".join(samples).encode()  # no lone surrogates


def test_sample_refuses_a_mask():
    with pytest.raises(TaskError, match="mask"):
        FreeText(9).sample(mask=np.ones(3, dtype=np.int8))


def test_json_round_trip():
    space = FreeText(100)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(TEXTS)))) == TEXTS
    with pytest.raises(TaskError, match="101 characters at position 1"):
        space.from_jsonable(["a", "b" * 101])
    with pytest.raises(TaskError, match="int 3 at position 0"):
        space.from_jsonable([3])


def test_equality_copy_pickle_repr():
    space = FreeText(7, seed=1)
    assert space == FreeText(7)
    assert space != FreeText(8)
    assert space != Text(7)
    assert hash(space) == hash(FreeText(7))
    assert repr(space) == "FreeText(7)"
    twin, clone = copy.deepcopy(space), pickle.loads(pickle.dumps(space))
    assert twin == clone == space
    assert twin.sample() == clone.sample() == space.sample()


def test_batch_of_spaces():
    space = FreeText(100, seed=3)
    batch = batch_space(space, 3)
    texts = ("red shoe", "", "👟")
    assert texts in batch
    assert texts[:2] not in batch
    assert len(set(batch.sample())) > 1, "every place samples on its own"
    assert create_empty_array(space, 2) == ("", "")
    assert create_empty_array(space, 2) in batch_space(space, 2)
    assert concatenate(space, list(texts), create_empty_array(space, 3)) == texts
    assert list(iterate(batch, texts)) == list(texts)


def test_why_iterate_is_not_registered():
    """The negative control: with a registered element type Gymnasium iterates inside the elements."""

    class Registered(FreeText):
        pass

    iterate.register(Registered)(lambda space, items: iter(items))
    assert list(iterate(batch_space(Registered(9), 2), ("ab", "cd"))) == [("a", "c"), ("b", "d")]
    assert list(iterate(batch_space(FreeText(9), 2), ("ab", "cd"))) == ["ab", "cd"]


def test_shared_memory_is_refused_and_says_what_to_do():
    for call in (
        lambda: create_shared_memory(FreeText(9), n=2),
        lambda: read_from_shared_memory(FreeText(9), None, n=2),
        lambda: write_to_shared_memory(FreeText(9), 0, "a", None),
    ):
        with pytest.raises(CustomSpaceError, match="pass shared_memory=False to AsyncVectorEnv"):
            call()
