"""Gains of a user's own judgements: read exactly, and full from exactly the full level on."""

import numpy as np
import polars as pl
import pytest

from envs_data import prepare_tables
from envs_data.custom.faults import Faults
from envs_data.custom.judgements import usable_judgements
from envs_data.custom.tables import OwnTables
from envs_data.custom.values import Column, read_table
from own_files import FORMATS, own_tables, write_own


@pytest.mark.parametrize("ending", FORMATS)
def test_gains_are_the_nearest_numbers_in_every_format(ending, tmp_path):
    tables = own_tables()
    gains = np.random.default_rng(0).random(len(tables["qrels"])) * 10.0 ** (np.arange(90) % 9 - 4)
    tables["qrels"] = tables["qrels"].with_columns(gain=pl.Series(gains))
    files = write_own(tmp_path / "in", tables, ending)
    faults = Faults()
    frame = read_table(files["qrels"], [Column("gain", "number")], faults)
    faults.check()
    assert frame["gain"].to_list() == gains.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_narrow_floats_are_the_decimals_that_they_are_written_as(dtype, tmp_path):
    """A gain of .7 is .7: the nearest float of 32 bits as one of 64 bits would be .699999988079071."""
    rng = np.random.default_rng(0)
    decimals = [f"{part / 10**places:.{places}f}" for places in (1, 2, 3) for part in range(10**places)]
    decimals += [str(dtype(x)) for x in rng.random(1000) * 10.0 ** rng.integers(-4, 4, 1000)]
    if dtype == np.float16:
        decimals = [text for text in decimals if str(np.float16(text)) == text.rstrip("0") or text.endswith(".0")]
    path = tmp_path / "qrels.parquet"
    pl.DataFrame({"gain": np.array(decimals, dtype=dtype)}).write_parquet(path)
    assert pl.read_parquet(path).schema["gain"].to_python() is float
    faults = Faults()
    frame = read_table(path, [Column("gain", "number")], faults)
    faults.check()
    assert len(decimals) > 300
    assert frame["gain"].to_list() == [float(text) for text in decimals]
    if dtype == np.float32:  # the negative control
        assert pl.read_parquet(path)["gain"].cast(pl.Float64).to_list() != [float(text) for text in decimals]


LEVELS = [*range(1, 1001), 0.09, 0.18, 0.72, 0.91, 1e-3, 5e-324, 2.5e-308, 1e308, 1.7976931348623157e308]


def test_exactly_the_full_level_and_above_have_gain_1():
    """No level loses its own judgements to rounding, and the next smaller number is not rounded up to it."""
    documents = pl.DataFrame({"doc_id": [f"p{i}" for i in range(5)]})
    for level in map(float, LEVELS):
        above, below = min(level * 1.5, 1.7976931348623157e308), np.nextafter(level, 0)
        given = [level, above, below, level / 2, 0.0]
        qrels = pl.DataFrame({"query_id": ["q"] * 5, "doc_id": documents["doc_id"], "gain": given})
        tables = OwnTables(documents, pl.DataFrame({"query_id": ["q"]}), qrels, None, {})
        kept, full_gain, _ = usable_judgements(tables, documents, level, graded=False)
        gains = kept.sort("doc_id")["gain"].to_list()
        assert (full_gain, gains) == (level, [1.0, 1.0, below / level, level / 2 / level, 0.0])
        assert gains[2] < 1.0


@pytest.mark.parametrize("level", [49, 0.09, 1e308])
def test_judgements_of_the_full_level_count_in_full(level, tmp_path):
    tables = own_tables()
    tables["qrels"] = tables["qrels"].with_columns(gain=pl.when(pl.col("gain") == 3).then(level).otherwise(level / 2))
    data = prepare_tables(**write_own(tmp_path / "in", tables), out=tmp_path / "out", pool_size=20)
    assert (data.queries.height, data.manifest["counts"]["queries_without_full_gain"]) == (30, 0)
    assert set(data.qrels["gain"]) == {0.5, 1.0}
