import gc
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a hub
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for models this small a second thread mostly waits
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="module", autouse=True)
def _heap():
    """What is imported by now is left out of garbage collections: each training makes one, of a third of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """The embedded sample is generated once a test run, never in the user's cache."""
    earlier = os.environ.get("OSPO_CACHE_DIR")
    os.environ["OSPO_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if earlier is None:
        del os.environ["OSPO_CACHE_DIR"]
    else:
        os.environ["OSPO_CACHE_DIR"] = earlier


@pytest.fixture(scope="session")
def env_arguments(tmp_path_factory):
    """What every registered id needs besides its name: without a sample, tables as data of one's own."""
    from envs_data import write_prepared
    from envs_data.sample import sample_data
    from ospo_env.registration import ENVIRONMENTS

    sample, own = sample_data("shopping"), tmp_path_factory.mktemp("own") / "shop"
    tables = {name: getattr(sample, name) for name in ("documents", "queries", "pools", "qrels", "demonstrations")}
    write_prepared(own, tables, dataset="own", synthetic=True, arguments={}, sources={}, counts={})
    return {one.env_id: {"data": str(own)} if one.sample is None else {} for one in ENVIRONMENTS}


@pytest.fixture(scope="session")
def warm_started(tmp_path_factory):
    """Settings of a run on a small data set that spare it its own warm start."""
    from small_run import OF_TINY, run, write_data

    directory = tmp_path_factory.mktemp("warm")
    data = write_data(directory)
    warm = run(directory / "run", data=data, steps=1) / "warmstart"
    return {"data": data, "policy": warm, "warm_start_epochs": 0, **OF_TINY}


@pytest.fixture(scope="session")
def make_env(env_arguments):
    """``gym.make``, or another ``maker``, for every registered id."""
    import gymnasium

    return lambda env_id, maker=gymnasium.make, **more: maker(env_id, **env_arguments[env_id], **more)
