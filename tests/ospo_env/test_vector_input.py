"""The native vector environment's options, and clear words for bad input."""

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence

from ospo_env import TaskError
from vectors import N, actions_of, native, reference, trajectory


def test_a_mask_resets_some():
    envs, other = native(), reference()
    mask = np.array([True, False, True])
    for vector in (envs, other):
        vector.reset(seed=3)
        vector.step(actions_of(0))
    options = {"reset_mask": mask, "query_id": "q04"}
    found = envs.reset(seed=[1, 2, 3], options=options)
    assert set(options) == {"reset_mask", "query_id"}, "the caller's options stay as they are"
    expected = other.reset(seed=[1, 2, 3], options=dict(options))
    assert data_equivalence(found, expected, exact=True)
    assert found[1]["_query_id"].tolist() == mask.tolist()
    assert data_equivalence(envs.step(actions_of(1)), other.step(actions_of(1)), exact=True)


def test_pinned_queries():
    envs = native()
    assert envs.reset(options={"query_id": "q01"})[1]["query_id"].tolist() == ["q01"] * N
    assert envs.reset(options={"query_ids": ["q00", "q01", "q04"]})[1]["query_id"].tolist() == ["q00", "q01", "q04"]
    drawn = envs.reset(seed=0)[1]["query_id"]
    assert envs.reset(seed=0, options={"query_ids": ["q09", None, None]})[1]["query_id"].tolist() == ["q09", *drawn[1:]]
    assert (envs.step(actions_of(0))[4]["final_info"]["query_id"] == ["q09", *drawn[1:]]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"query_idz": "q01"}, "unknown reset option 'query_idz'; did you mean"),
        ({"query_id": "q001"}, "unknown prompt id 'q001'"),
        ({"query_ids": ["q00", "q01", "q03"]}, "split 'test', this environment draws from 'train'"),
        ({"query_ids": ["q00"]}, "expected 3 query_ids, one an environment"),
        ({"query_ids": "q00"}, "expected 3 query_ids, one an environment"),
        ({"query_ids": 3}, "expected 3 query_ids, one an environment"),
        ({"query_id": "q00", "query_ids": ["q00"] * 3}, "got both"),
        ({"reset_mask": [True, False, True]}, r"bool array of shape \(3,\), got list"),
        ({"reset_mask": np.array([1, 0, 1])}, r"bool array of shape \(3,\), got int64"),
        ({"reset_mask": np.array([True])}, r"bool array of shape \(3,\), got bool \(1,\)"),
        ({"reset_mask": np.zeros(3, dtype=bool)}, "at least one True"),
    ],
)
def test_a_wrong_option_changes_nothing(options, message):
    envs, untouched = native(), native()
    for vector in (envs, untouched):
        vector.reset(seed=0)
    with pytest.raises(TaskError, match=message) as error:
        envs.reset(seed=5, options=options)
    assert "\n" not in str(error.value)
    assert data_equivalence(trajectory(envs, None), trajectory(untouched, None), exact=True)


@pytest.mark.parametrize(
    ("actions", "kind", "message"),
    [
        ("red", TypeError, "expected a sequence of 3 str actions, got str"),
        (7, TypeError, "expected a sequence of 3 str actions, got int"),
        (["red", 3, "blue"], TypeError, "expected the action of environment 1 to be a str"),
        (["red", "x" * 100_001, "blue"], TaskError, "expected the action of environment 1 to be at most 100,000 char"),
        (["red", "blue"], TaskError, "expected 3 actions, one an environment; got 2"),
        (np.array(0), TypeError, "expected a sequence of 3 str actions"),
    ],
)
def test_wrong_actions(actions, kind, message):
    envs = native()
    envs.reset(seed=0)
    with pytest.raises(kind, match=message):
        envs.step(actions)
    envs.step(np.array(["red", "blue", "wool"], dtype=object))
    envs.step(np.array(["red", "blue", "wool"]))


def test_order_of_calls():
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        native().step(actions_of(0))
    with pytest.raises(ResetNeeded, match="leaves out an environment that has no episode yet"):
        native().reset(options={"reset_mask": np.array([True, False, True])})


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, "3", True, None])
def test_a_wrong_number_of_environments(num_envs):
    with pytest.raises(TaskError, match="num_envs"):
        native(num_envs)


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4]])
def test_a_wrong_number_of_seeds(seed):
    with pytest.raises(TaskError, match="expected one seed, or 3"):
        native().reset(seed=seed)
