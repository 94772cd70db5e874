"""Data sets of ir_datasets are prepared as their files in the layout of BEIR: a real library, data of our own."""

from collections import namedtuple

import pytest

from envs_data import DataError, load_prepared, prepare_beir, prepare_irds
from envs_data.custom.irds import _subsets
from ospo_cli import prepare
from own_files import own_tables, write_beir

ir_datasets = pytest.importorskip("ir_datasets")
from ir_datasets.datasets.base import Dataset  # noqa: E402
from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericDoc, GenericQuery, TrecQrel  # noqa: E402

TABLES = ("queries", "pools", "qrels", "demonstrations")
Titled = namedtuple("Titled", "doc_id title text")
Paged = namedtuple("Paged", "doc_id title url")
Paged.default_text = lambda self: f"{self.title} of {self.url}"


class Documents(BaseDocs):
    def __init__(self, rows):
        self.rows = rows

    def docs_iter(self):
        return iter(self.rows)


class Queries(BaseQueries):
    def __init__(self, rows):
        self.rows = rows

    def queries_iter(self):
        return iter(self.rows)


class Qrels(BaseQrels):
    def __init__(self, rows):
        self.rows = rows

    def qrels_iter(self):
        return iter(self.rows)


def register(name, splits, documents=None):
    """The shop under a name, its queries dealt to splits in turn, as ``write_beir`` deals them."""
    tables = own_tables()
    rows = documents or [Titled(*row) for row in tables["documents"].iter_rows()]
    known = set(ir_datasets.registry)
    for place, split in enumerate(splits):
        numbers = [number for number in tables["queries"]["query_id"] if int(number) % len(splits) == place]
        text = dict(zip(tables["queries"]["query_id"], tables["queries"]["query"], strict=True))
        qrels = [
            TrecQrel(query_id, doc_id, int(gain >= 2), "0")
            for query_id, doc_id, gain in tables["qrels"].iter_rows()
            if query_id in numbers
        ]
        data = Dataset(
            Documents(rows), Queries([GenericQuery(number, text[number]) for number in numbers]), Qrels(qrels)
        )
        if f"{name}/{split}" not in known:
            ir_datasets.registry.register(f"{name}/{split}", data)
    if name not in known:
        ir_datasets.registry.register(name, Dataset(Documents(rows)))


@pytest.mark.parametrize("splits", [("train", "dev", "test"), ("train", "test"), ("test",)], ids="-".join)
def test_it_is_what_the_files_of_beir_give(tmp_path, splits):
    name = f"beir/ospo-{'-'.join(splits)}"
    register(name, splits)
    expected = prepare_beir(write_beir(tmp_path / "beir", splits), tmp_path / "a", seed=2)
    found = prepare_irds(name, tmp_path / "b", seed=2)
    assert found.documents.frame.equals(expected.documents.frame)
    assert all(getattr(found, table).equals(getattr(expected, table)) for table in TABLES)
    assert found.manifest["dataset"] == "beir"
    assert list(found.manifest["sources"]) == [f"irds:{name}/{table}" for table in ("documents", "queries", "qrels")]
    listed = prepare_irds(",".join(f"{name}/{split}" for split in splits), tmp_path / "c", seed=2)
    assert all(getattr(listed, table).equals(getattr(found, table)) for table in TABLES)


def test_documents_without_a_field_of_text(tmp_path, capsys):
    """Their text is all that the library takes for it, without the title; a document may have no title."""
    rows = [Paged(row["doc_id"], row["title"], row["text"]) for row in own_tables()["documents"].iter_rows(named=True)]
    register("ospo-pages", ("test",), rows)
    prepare.main(["irds:ospo-pages/test", "--out", str(tmp_path / "out")])
    assert "documents       90" in capsys.readouterr().out
    data = load_prepared(tmp_path / "out")
    first = data.documents.frame.filter(data.documents["doc_id"] == "p01").row(0, named=True)
    assert first["title"] == rows[1].title
    assert first["text"] == f"{rows[1].title}\nof {rows[1].url}"
    assert data.manifest["dataset"] == "irds"
    register("ospo-plain", ("test",), [GenericDoc(row.doc_id, row.url) for row in rows])
    assert prepare_irds("ospo-plain/test", tmp_path / "plain").documents["title"].unique().to_list() == [""]


def test_the_contents_are_in_the_fingerprint(tmp_path):
    rows = [Titled(*row) for row in own_tables()["documents"].iter_rows()]
    register("ospo-one", ("test",), rows)
    register("ospo-two", ("test",), [*rows[:-1], rows[-1]._replace(text="other words")])
    digests = [
        list(prepare_irds(f"ospo-{name}/test", tmp_path / name).manifest["sources"].values()) for name in ("one", "two")
    ]
    assert digests[0][0] != digests[1][0]
    assert digests[0][1:] == digests[1][1:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vaswanni", r"expected the name of a data set of ir_datasets .*, got 'vaswanni'; did you mean 'vaswani'\?"),
        ("msmarco-passage-v2/dedup", "with judgements, but msmarco-passage-v2/dedup has none$"),
    ],
)
def test_wrong_names(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        prepare_irds(name, tmp_path / "out")


def test_the_subsets_of_a_name_are_its_splits():
    assert _subsets("msmarco-passage") == ["msmarco-passage/train", "msmarco-passage/dev"]
    assert _subsets("antique/test") == ["antique/test"]


def test_what_cannot_be_read_is_one_line(tmp_path):
    class Broken(Documents):
        def docs_iter(self):
            raise RuntimeError("All download sources failed\nhere and there")

    register("ospo-broken", ("test",))
    data = Dataset(Broken([]), Queries([]), Qrels([]))
    if "ospo-broken/train" not in set(ir_datasets.registry):
        ir_datasets.registry.register("ospo-broken/train", data)
    with pytest.raises(
        DataError, match=r"^cannot read ospo-broken/train of ir_datasets: All download .* here and there$"
    ):
        prepare_irds("ospo-broken/train", tmp_path / "out")
    assert not (tmp_path / "out").exists()
