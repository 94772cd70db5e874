"""Position bias from logs whose bias is known, beside SciPy's optimiser on the same likelihood."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize

from envs_data import DataError
from envs_data.custom.propensity import estimate_propensity, position_weights

RIGHT = np.array([1.0, 0.6, 0.45, 0.3, 0.25])


def drawn_log(seed=0, pairs=400, times=200, right=RIGHT):
    """A biased engine shows wanted documents higher; each pair is shown at two or three positions."""
    rng = np.random.default_rng(seed)
    wanted = rng.beta(1, 6, pairs)
    rows = []
    for pair, share in enumerate(wanted.tolist()):
        home = 5 * (1 - np.searchsorted(np.sort(wanted), share) / pairs)
        places = {int(np.clip(round(home + rng.normal(0, 1.2)), 1, 5)) for _ in range(4)}
        for place in sorted(places):
            shown = int(rng.integers(times // 2, times))
            rows.append((f"q{pair}", "d", place, shown, int(rng.binomial(shown, share * right[place - 1]))))
    return pl.DataFrame(rows, schema=["query", "doc_id", "position", "shown", "acted"], orient="row")


def test_a_known_bias_is_found():
    log = drawn_log(pairs=1000, times=400)
    estimate = estimate_propensity(log)
    np.testing.assert_allclose(estimate.values, RIGHT, rtol=0.04)
    several = log.filter(pl.len().over("query") > 1)
    acted = several.filter(pl.col("acted").sum().over("query") > 0)
    assert estimate.pairs == acted["query"].n_unique()
    assert (estimate.actions, estimate.unknown) == (acted["acted"].sum(), ())
    assert (np.abs(estimate.values - RIGHT)[1:] < 3 * estimate.errors[1:]).all()


def test_shares_of_clicks_are_biased():
    """The negative control: the share of impressions that were clicked, which mixes bias and wants."""
    shares = drawn_log().group_by("position").agg(pl.col("acted").sum() / pl.col("shown").sum()).sort("position")
    naive = shares["acted"].to_numpy() / shares["acted"][0]
    assert (np.abs(naive / RIGHT - 1) > 0.2).sum() >= 3


def test_it_is_the_maximum_of_the_likelihood():
    log = drawn_log(seed=1, pairs=60, times=40).filter(pl.col("acted").sum().over("query") > 0)
    place = log["position"].to_numpy() - 1
    _, owner = np.unique(log["query"].to_numpy(), return_inverse=True)
    shown, acted = (log[name].to_numpy().astype(float) for name in ("shown", "acted"))

    def loss(free):
        values = np.exp(np.concatenate([[0.0], free]))
        exposed = shown * values[place]
        return -(acted * np.log(exposed / np.bincount(owner, exposed)[owner])).sum()

    found = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8})
    estimate = estimate_propensity(log)
    np.testing.assert_allclose(np.log(estimate.values[1:]), found.x, atol=1e-4)
    step = 1e-3 * np.eye(4)
    curvature = [
        [loss(found.x + a + b) - loss(found.x + a - b) - loss(found.x - a + b) + loss(found.x - a - b) for b in step]
        for a in step
    ]
    errors = np.exp(found.x) * np.sqrt(np.diag(np.linalg.inv(np.array(curvature) / 4e-6)))
    np.testing.assert_allclose(estimate.errors, [0, *errors], rtol=1e-3)


def test_positions_that_nothing_joins_with_the_first_are_said():
    rows = [("a", "d", 1, 10, 4), ("a", "d", 2, 10, 2), ("b", "d", 3, 10, 5), ("b", "d", 5, 10, 1), ("c", "d", 4, 9, 3)]
    log = pl.DataFrame(rows, schema=["query", "doc_id", "position", "shown", "acted"], orient="row")
    estimate = estimate_propensity(log)
    np.testing.assert_allclose(estimate.values, [1, 0.5, 0.5, 0.5, 0.5])
    assert estimate.unknown == (3, 4, 5)
    assert np.isnan(estimate.errors).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "d", 1, 10, 4), ("b", "d", 2, 10, 2)],
        [("a", "d", 1, 10, 0), ("a", "d", 2, 10, 0)],
        [("a", "d", 2, 10, 4), ("a", "d", 3, 10, 4)],
        [("a", "d", 1, 0, 4), ("a", "d", 2, 0, 4)],
    ],
    ids=["one position each", "no action", "never the first", "no impression"],
)
def test_logs_that_do_not_tell(rows):
    log = pl.DataFrame(rows, schema=["query", "doc_id", "position", "shown", "acted"], orient="row")
    with pytest.raises(DataError, match="expected documents that one query showed at the first position and at others"):
        estimate_propensity(log)


def test_weights_are_bounded():
    positions = np.array([0, 1, 2, 3, 99])
    assert position_weights(positions, [1.0, 0.5, 0.01]).tolist() == [1, 1, 2, 10, 10]
