"""What an environment reads: data of its id only, shared within the process, and never stale."""

import json

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import data_equivalence

import ospo_env.data_access
from envs_data import DataError, load_prepared, write_prepared
from ospo_env import RewriteEnv, TaskError
from shop import shop, write_shop


def rewritten(out, tables, dataset="own"):
    return write_prepared(out, tables, dataset=dataset, synthetic=True, arguments={}, sources={}, counts={})


def shop_as(out, dataset):
    data = shop()
    names = ("documents", "queries", "pools", "qrels", "demonstrations")
    return rewritten(out, {name: getattr(data, name) for name in names}, dataset)


def test_data_of_another_id_is_refused(tmp_path):
    for dataset in ("hm", "sample-fashion"):
        shop_as(tmp_path / dataset, dataset)
        with pytest.raises(TaskError, match=f"OSPO-ESCI-v0 reads .*; got '{dataset}': use OSPO-HM-v0") as error:
            gym.make("OSPO-ESCI-v0", data=str(tmp_path / dataset))
        assert "\n" not in str(error.value)
    shop_as(tmp_path / "own", "own")
    with pytest.raises(TaskError, match=r"OSPO-HM-v0 reads .*; got 'own': use OSPO-Rewrite-v0"):
        gym.make("OSPO-HM-v0", data=str(tmp_path / "own"))
    RewriteEnv(data=tmp_path / "own").reset(seed=0)
    with gym.make("OSPO-HM-v0", data=str(tmp_path / "hm")) as env:
        env.reset(seed=0)
        assert json.loads(env.spec.to_json())["kwargs"]["data"] == str(tmp_path / "hm")


@pytest.mark.parametrize("dataset", ["own", "esci", "sample-fashion"])
def test_one_id_reads_any_data(tmp_path, dataset):
    shop_as(tmp_path / "data", dataset)
    with gym.make("OSPO-Rewrite-v0", data=str(tmp_path / "data")) as env:
        env.reset(seed=0)
        assert env.unwrapped.task.max_words == 16
        assert env.step("red shoe")[2]
    with gym.make("OSPO-Rewrite-v0", data=str(tmp_path / "data"), max_words=3) as env:
        env.reset(seed=0)
        assert env.step("one two three four")[-1]["words_beyond_cap"] == 1


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_the_id_of_any_data_has_no_sample(make):
    with pytest.raises(TaskError, match=r"expected data, a prepared directory, .* got neither") as error:
        make("OSPO-Rewrite-v0")
    assert "\n" not in str(error.value)


def test_a_directory_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        gym.make("OSPO-ESCI-v0", data=str(tmp_path / "missing"))


def test_data_and_retriever_are_shared_and_read_anew_when_written_anew(tmp_path, monkeypatch):
    loads = []

    def counted(path):
        loads.append(path)
        return load_prepared(path)

    monkeypatch.setattr(ospo_env.data_access, "load_prepared", counted)
    write_shop(tmp_path / "shop")
    envs = [RewriteEnv(data=str(tmp_path / "shop")) for _ in range(3)]
    assert len(loads) == 1
    assert all(env.task.data is envs[0].task.data for env in envs)
    assert all(env.task.retriever is envs[0].task.retriever for env in envs)
    data = envs[0].task.data
    tables = {name: getattr(data, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    tables["demonstrations"] = tables["demonstrations"].head(1)
    rewritten(tmp_path / "shop", tables)
    assert len(RewriteEnv(data=str(tmp_path / "shop")).task.demonstrations()) == 1
    assert len(loads) == 2


def test_sharing_changes_no_result(tmp_path):
    """One environment after another, two in turns, and a data set of its own: the same episodes."""
    ospo_env.data_access._shared_directory.cache_clear()
    write_shop(tmp_path / "shop")

    def episodes(env, seed):
        env.reset(seed=seed)
        return [(env.reset(), env.step("red shoe wool"), env.reset(), env.step("blue dress")) for _ in range(5)]

    first, second = (RewriteEnv(data=tmp_path / "shop") for _ in range(2))
    one = [episodes(first, 0), episodes(second, 1), episodes(first, 0)]
    ospo_env.data_access._shared_directory.cache_clear()
    two = [episodes(RewriteEnv(data=load_prepared(tmp_path / "shop")), seed) for seed in (0, 1, 0)]
    assert data_equivalence(one, two, exact=True)
    assert not data_equivalence(one[0], one[1])


def test_a_split_without_queries_is_refused(tmp_path):
    data = write_shop(tmp_path / "shop")
    tables = {name: getattr(data, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    kept = tables["queries"]["split"] != "test"
    tables |= {"queries": tables["queries"].filter(kept), "pools": tables["pools"].filter(kept)}
    less = rewritten(tmp_path / "less", tables)
    with pytest.raises(TaskError, match="no queries in split 'test'"):
        RewriteEnv(data=less, split="test")
