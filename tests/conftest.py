import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a hub
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for models this small a second thread mostly waits
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(ROOT / "scripts"))


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
def make_env(tmp_path_factory):
    """``gym.make``, or another ``maker``, for every registered id: one without a sample gets a small shop as data."""
    import gymnasium
    from shop import write_shop

    from ospo_env.registration import ENVIRONMENTS

    needing = {registration.env_id for registration in ENVIRONMENTS if registration.sample is None}
    shop = tmp_path_factory.mktemp("own") / "shop"
    write_shop(shop)

    def make(env_id, maker=gymnasium.make, **arguments):
        return maker(env_id, **({"data": str(shop)} if env_id in needing else {}), **arguments)

    return make
