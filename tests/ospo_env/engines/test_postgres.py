"""``postgres:TABLE`` on a real PostgreSQL: the contract, ranks, types of columns, faults and secrets."""

import functools
import os
import pickle
import re

import numpy as np
import pytest

from ospo_env import Corpus, RetrieverError, TaskError, make_retriever
from ospo_env.conformance import check_retriever
from ospo_env.retrievers.engines.requests import Limits
from ospo_env.retrievers.registry import resolve_retriever
from postgres_cluster import PASSWORD, Unusable, cluster, debian_binaries
from shop import documents

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
DOCUMENTS = documents()
CORPUS = Corpus([f"sku-{row}" for row in range(len(DOCUMENTS))], DOCUMENTS)
DSN = "OSPO_TEST_DSN"
POOL = np.arange(len(DOCUMENTS), dtype=np.int32)[None]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    binaries = debian_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    try:
        with cluster(binaries) as (dsn, stop):
            os.environ[DSN] = dsn
            load("docs", CORPUS)
            yield dsn, stop
            del os.environ[DSN]
    except Unusable as error:
        pytest.skip(str(error))


def execute(statement, parameters=()):
    with psycopg.connect(os.environ[DSN], autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


def load(table, corpus):
    """A table of the corpus in another order."""
    execute(f'create table "{table}" (doc_id text primary key, text text)')
    rows = list(zip(corpus.doc_ids, corpus.texts, strict=True))[::-1]
    with psycopg.connect(os.environ[DSN], autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(f'insert into "{table}" values (%s, %s)', rows)


def joined(corpus):
    """A factory for the conformance kit, which makes corpora of its own: a table of each is made once."""
    table = f"kit_{corpus.digest[:12]}"
    if execute("select to_regclass(%s)::text", [table]) == [(None,)]:
        load(table, corpus)
    return resolve_retriever(f"postgres:{table}?dsn_env={DSN}")(corpus)


def ranked(settings="", corpus=CORPUS, table="docs"):
    return resolve_retriever(f"postgres:{table}?dsn_env={DSN}{settings}")(corpus)


@pytest.mark.usefixtures("server")
class TestRanks:
    def test_the_contract(self):
        check_retriever(joined)

    @pytest.mark.parametrize("rank", ["ts_rank", "ts_rank_cd"])
    def test_scores_are_those_of_plain_statements(self, rank):
        made = ranked(f"&rank={rank}&normalization=2&cache=false")
        vector, query = "to_tsvector('english', x)", "to_tsquery('english', %s)"
        statement = f"select {rank}({vector}, {query}, 2)::float8, {vector} @@ {query} from unnest(%s::text[]) x"
        texts = {"red COAT, wool": "red | coat | wool", "Coats the o'clock": "coat | o | clock", "the": ""}
        for text, asked in texts.items():
            rows = execute(statement, [asked, asked, DOCUMENTS])
            expected = [score if matches else -np.inf for score, matches in rows]
            np.testing.assert_array_equal(made.score_pools([text], POOL)[0], expected)

    def test_any_text_is_a_text(self):
        """Signs of the query language, quotes, the character 0, nothing but stop words."""
        made = ranked("&cache=false")
        plain = made.score_pools(["red wool"], POOL)
        signs = (
            "red & !wool",
            "'red' <-> \\wool",
            "red:*A | (wool",
            "red\0wool",
            "<b>red</b> wool",
            "red's wool\\'",
        )
        for text in signs:
            found = made.score_pools([text], POOL)[0]
            assert (found[plain[0] > -np.inf] > -np.inf).all(), text
        assert (made.score_pools(["the a of", "!!!", "\\"], POOL.repeat(3, 0)) == -np.inf).all()

    def test_columns_of_several_types_and_weights(self):
        execute("create schema shop")
        execute("create table shop.items (sku bigint primary key, name varchar(80), body tsvector)")
        names = ["red coat", None, "blue bag"]
        for sku, name, body in zip((7, 8, 9), names, ("wool", "red", "red red leather"), strict=True):
            execute("insert into shop.items values (%s, %s, to_tsvector('english', %s))", [sku, name, body])
        corpus = Corpus(["9", "8", "7"], ["a", "b", "c"])
        both, name, body = (
            ranked(f"&id=sku&text={fields}&cache=false", corpus, "shop.items")
            for fields in ("name^3+body", "name", "body")
        )
        pool = np.array([[0, 1, 2]], np.int32)
        of_both, of_name, of_body = (one.score_pools(["red"], pool)[0] for one in (both, name, body))
        assert [np.isfinite(part).tolist() for part in (of_name, of_body)] == [
            [False, False, True],
            [True, True, False],
        ]
        np.testing.assert_allclose(of_both[2], 3 * of_name[2])
        np.testing.assert_allclose(of_both[:2], of_body[:2])
        np.testing.assert_array_equal(both.rank_corpus("red", 3)[0], np.argsort(-of_both, kind="stable"))
        with pytest.raises(TaskError, match=r"cannot look for the ids .*invalid input syntax for type bigint: .sku-1"):
            ranked("&id=sku&text=name", Corpus(["sku-1", "9"], ["a", "b"]), "shop.items")

    def test_the_fingerprint_is_that_of_the_content(self):
        corpus = Corpus(["a", "b"], ["red coat", "blue bag"])
        load("changing", corpus)
        first, again = ranked("", corpus, "changing"), ranked("", corpus, "changing")
        execute("update changing set text = 'red red coat' where doc_id = 'a'")
        changed = ranked("", corpus, "changing")
        execute("update changing set text = 'red coat' where doc_id = 'a'")
        back = ranked("", corpus, "changing")
        assert first.fingerprint == again.fingerprint == back.fingerprint != changed.fingerprint
        execute("insert into changing values ('c', 'green')")
        assert ranked("", corpus, "changing").fingerprint not in (first.fingerprint, changed.fingerprint)
        assert ranked("&normalization=0", corpus, "changing").fingerprint != first.fingerprint

    def test_a_copy_opens_its_own_connection(self):
        made = ranked("&cache=false")
        expected = made.score_pools(["red"], POOL)
        content = pickle.dumps(made)
        assert b"hunter22" not in content
        np.testing.assert_array_equal(pickle.loads(content).score_pools(["red"], POOL), expected)
        if (child := os.fork()) == 0:
            same = np.array_equal(made.score_pools(["red"], POOL), expected)
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        np.testing.assert_array_equal(made.score_pools(["red"], POOL), expected)  # the parent's is open still


@pytest.mark.usefixtures("server")
class TestFaults:
    @pytest.mark.parametrize(
        ("spec", "match"),
        [
            ("postgres:dosc?dsn_env={}", "expected a table 'dosc' in the database that .* names; there is none"),
            ("postgres:docs?dsn_env={}&id=doc", "unknown column of the table 'docs': 'doc'; did you mean 'doc_id'"),
            ("postgres:docs?dsn_env={}&text=txt", "unknown column of the table 'docs': 'txt'; did you mean 'text'"),
            ("postgres:docs?dsn_env={}&config=klingon", "text search configuration .klingon. does not exist"),
            ("postgres:docs?dsn_env={}&rank=bm25", "one of ts_rank, ts_rank_cd; got 'bm25'"),
            ("postgres:docs", "expected the variable that holds the connection string.*dsn_env=SHOP_DSN"),
            ("postgres:docs?dsn_env=OSPO_NO_SUCH", r"from \$OSPO_NO_SUCH, which is not set"),
            ("postgres:docs?dsn_env={}&vector=v", "vector=COLUMN and model=MODEL .* together"),
            ("postgres:docs?dsn_env={}&concurrency=0", "expected concurrency of an engine as at least 1"),
        ],
    )
    def test_what_does_not_fit(self, spec, match):
        with pytest.raises(TaskError, match=match) as error:
            make_retriever(spec.format(DSN), CORPUS)
        assert "\n" not in str(error.value)

    def test_missing_documents(self):
        with pytest.raises(TaskError, match=r"the table docs to hold the 62 documents .*; 1 are missing, 'new' among"):
            ranked("", Corpus([*CORPUS.doc_ids, "new"], [*DOCUMENTS, "red"]))

    def test_a_statement_that_takes_too_long(self):
        execute("create view slow as select doc_id, text, pg_sleep(0.3)::text as x from docs where doc_id = 'sku-1'")
        corpus = Corpus(["sku-1"], ["red"])
        made = ranked("&text=x&cache=false", corpus, "slow")
        made._limits = Limits(concurrency=1, deadline=0.1, batch=1)
        with pytest.raises(RetrieverError, match=r"no answer within 0\.1 s .*statement timeout"):
            made.score_pools(["red"], np.array([[0]], np.int32))

    def test_rows_with_one_id(self):
        execute("create table twice as select doc_id, text from docs union all select doc_id, text from docs limit 122")
        with pytest.raises(TaskError, match="once in the table twice; 61 more have the same ids"):
            ranked("", CORPUS, "twice")

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (
                lambda dsn: dsn.replace("hunter22", "hunter23"),
                "password authentication failed.*start it, or correct",
            ),
            (
                lambda dsn: re.sub(r"host=\S+", "host=/nowhere", dsn),
                "No such file or directory.*start it, or correct",
            ),
            (lambda dsn: "secret-without-equals hunter22", "expected a connection string of PostgreSQL in"),
            (lambda dsn: f"postgresql://shop:hunter22@127.0.0.1:9/x?password={PASSWORD}", "expected|refused"),
        ],
    )
    def test_no_secret_is_shown(self, server, monkeypatch, change, match):
        monkeypatch.setenv(DSN, change(server[0]))
        with pytest.raises(TaskError, match=match) as error:
            make_retriever(f"postgres:docs?dsn_env={DSN}&cache=false", CORPUS)
        shown = functools.reduce(lambda text, one: text + str(one), _chain(error.value), "")
        for form in (PASSWORD, "hunter2", "pass/word", "pass%2Fword"):
            assert form not in shown


def _chain(error):
    """An error with all that a traceback shows with it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_server_that_stops(server):
    """The last test of this module, since it does."""
    made = ranked("&cache=false")
    made.score_pools(["red"], POOL)
    made._limits = Limits(concurrency=1, deadline=0.5, batch=1)
    server[1]()
    with pytest.raises(RetrieverError, match=r"no answer within 0\.5 s .*the database that \$OSPO_TEST_DSN names"):
        made.score_pools(["red coat"], POOL)
