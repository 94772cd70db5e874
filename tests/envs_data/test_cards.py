"""The pages beside the manifest: Croissant metadata that its own library loads, and a data card that is true."""

import json
import re

import polars as pl
import pytest

from envs_data import load_prepared, prepare_tables, write_prepared
from envs_data.layout import TABLES
from envs_data.manifest import CARDS, MANIFEST
from own_files import own_tables, write_own


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("cards") / "data"
    prepare_tables(**write_own(out.parent / "in", own_tables()), out=out)
    return out


quiet = pytest.mark.filterwarnings("ignore")  # of the libraries by which mlcroissant reads


@quiet
def test_every_table_is_what_mlcroissant_reads(directory, caplog):
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=directory / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    assert "@context" not in caplog.text  # it is the standard one
    data = load_prepared(directory)
    assert [one.id for one in dataset.metadata.record_sets] == list(TABLES)
    for name in TABLES:
        frame = data.documents.frame if name == "documents" else getattr(data, name)
        records = list(dataset.records(name))
        assert len(records) == frame.height > 0
        for record, row in zip(records, frame.iter_rows(named=True), strict=True):
            plain = {key.removeprefix(f"{name}/"): _plain(value) for key, value in record.items()}
            assert plain == row


def _plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(part) for part in value] if isinstance(value, list) else value


@quiet
def test_a_file_that_was_changed_is_found(directory, tmp_path):
    """The negative control: digests in the metadata are those of the files."""
    mlcroissant = pytest.importorskip("mlcroissant")
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pl.DataFrame({"query_id": ["x"], "text": ["y"]}).write_parquet(tmp_path / "demonstrations.parquet")
    with pytest.raises(mlcroissant.GenerationError, match=r"Download\(demonstrations.parquet\)"):
        list(mlcroissant.Dataset(jsonld=tmp_path / "croissant.json").records("demonstrations"))


def test_the_card_is_true(directory):
    card, data = (directory / "data_card.md").read_text(), load_prepared(directory)
    manifest = json.loads((directory / MANIFEST).read_text())
    assert f"- Fingerprint: `{data.fingerprint}`" in card
    assert f"- {data.documents.height} documents\n" in card
    splits = [int((data.queries["split"] == split).sum()) for split in ("train", "validation", "test")]
    assert f"- {data.queries.height} queries: {splits[0]} train, {splits[1]} validation, {splits[2]} test\n" in card
    full = int((data.qrels["gain"] >= 1).sum())
    assert f"- {data.qrels.height} judgements, 3.0 a query; {full} of full gain\n" in card
    assert "- judgements by gain: 1: 30, 0.667: 30, 0.333: 30\n" in card
    for section in ("counts", "arguments"):
        assert all(f"- `{name}`: {json.dumps(value)}\n" in card for name, value in manifest[section].items())
    assert all(f"- `{name}`: sha256 `{digest}`\n" in card for name, digest in manifest["sources"].items())
    columns = re.findall(r"^\| \| `(\w+)` \|", card, re.MULTILINE)
    assert columns == [column for table in TABLES.values() for column in table]
    assert "does not know" in card


def test_generated_data_say_so(directory, tmp_path):
    data = load_prepared(directory)
    tables = {name: data.documents if name == "documents" else getattr(data, name) for name in TABLES}
    facts = {"arguments": {}, "sources": {}, "counts": {}}
    write_prepared(tmp_path / "own", tables, dataset="own", synthetic=True, **facts)
    write_prepared(tmp_path / "sample", tables, dataset="sample-shopping", synthetic=True, **facts)
    write_prepared(tmp_path / "esci", tables, dataset="esci", synthetic=False, **facts)
    cards = {name: (tmp_path / name / "data_card.md").read_text() for name in ("own", "sample", "esci")}
    assert all("- Data: generated, not collected" in cards[name] for name in ("own", "sample"))
    assert "- Data: real" in cards["esci"]
    metadata = {name: json.loads((tmp_path / name / "croissant.json").read_text()) for name in cards}
    assert metadata["esci"]["license"] == "https://spdx.org/licenses/Apache-2.0.html"
    assert metadata["sample"]["license"] == "https://spdx.org/licenses/MIT.html"
    assert "license" not in metadata["own"]


def test_pages_are_no_part_of_the_data(directory, tmp_path):
    """A directory of an earlier version has none; one that a person has written on opens, and may be replaced."""
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for page in CARDS:
        (tmp_path / page).unlink()
    assert load_prepared(tmp_path).fingerprint == load_prepared(directory).fingerprint
    (tmp_path / CARDS[0]).write_text("my own notes")
    assert load_prepared(tmp_path).queries.equals(load_prepared(directory).queries)
    prepare_tables(**write_own(directory.parent / "in", own_tables()), out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in directory.iterdir()
    }
