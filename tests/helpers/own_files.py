"""A small shop as a user's own files, in every format, and as a directory in the layout of BEIR."""

import gzip
import json

import polars as pl
import pytest

from envs_data import FileFaults, prepare_tables

COLOURS, THINGS, STUFF = (
    ("red", "blue", "black"),
    ("kettle", "lamp", "tent", "chair", "drill"),
    ("oak", "steel", "wool"),
)
FORMATS = ("parquet", "csv", "tsv", "jsonl")


def own_tables(n_documents=90, n_queries=30):
    """Graded judgements (3, 2 and 1), histories of 0 to 2 phrases, texts with commas, quotes and brackets."""
    documents = pl.DataFrame(
        {
            "doc_id": [f"p{i:02d}" for i in range(n_documents)],
            "title": [f'{COLOURS[i % 3]} {THINGS[i % 5]}, "{i} inch"' if i % 9 else "" for i in range(n_documents)],
            "text": [f"of {STUFF[i % 3]}, [made] for ｗörk no. {i} | {{x}}" for i in range(n_documents)],
        }
    )
    queries = pl.DataFrame(
        {
            "query_id": [str(100 + i) for i in range(n_queries)],
            "query": [f"{THINGS[i % 5]} in {COLOURS[i % 3]}" for i in range(n_queries)],
            "history": [[f'a "{THINGS[i % 5]}"', "oak, blue"][: i % 3] for i in range(n_queries)],
        }
    )
    pairs = [(i, k) for i in range(n_queries) for k in range(3)]
    qrels = pl.DataFrame(
        {
            "query_id": [str(100 + i) for i, _ in pairs],
            "doc_id": [f"p{(i + 15 * k) % 75:02d}" for i, k in pairs],  # the last 15 documents are never judged
            "gain": [3.0 - k for _, k in pairs],
        }
    )
    return {"documents": documents, "queries": queries, "qrels": qrels}


def write_own(directory, tables=None, ending="csv"):
    """The tables as files of one format; the paths by name."""
    directory.mkdir(parents=True, exist_ok=True)
    return {name: write_table(directory, name, table, ending) for name, table in (tables or own_tables()).items()}


def write_table(directory, name, table, ending):
    path = directory / f"{name}.{ending}"
    if ending == "parquet":
        table.write_parquet(path)
    elif ending.startswith("jsonl"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.iter_rows(named=True))
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if ending.endswith(".gz") else text.encode())
    else:
        flat = table.with_columns(pl.col(pl.List(pl.String)).list.join("|"))
        is_tsv = ending == "tsv"
        flat.write_csv(path, separator="\t" if is_tsv else ",", quote_style="never" if is_tsv else "necessary")
    return path


def write_beir(directory, splits=("test",), score=1):
    """The same shop; queries are dealt to the splits in turn, and one more query is judged nowhere."""
    tables = own_tables()
    (directory / "qrels").mkdir(parents=True)
    corpus = tables["documents"].rename({"doc_id": "_id"}).with_columns(metadata=pl.lit("x"))
    queries = tables["queries"].select(pl.col("query_id").alias("_id"), text="query")
    queries = pl.concat([queries, pl.DataFrame({"_id": ["never"], "text": ["judged"]})])
    write_table(directory, "corpus", corpus, "jsonl")
    write_table(directory, "queries", queries, "jsonl")
    for place, name in enumerate(splits):
        qrels = tables["qrels"].filter(pl.col("query_id").cast(pl.Int64) % len(splits) == place)
        qrels = qrels.select(
            pl.col("query_id").alias("query-id"),
            pl.col("doc_id").alias("corpus-id"),
            score=(pl.col("gain") >= 2).cast(pl.Int64) * score,
        )
        qrels.write_csv(directory / "qrels" / f"{name}.tsv", separator="\t")
    return directory


def faults_of(files, tmp_path, **arguments):
    """What is told, without the directory; nothing may have been written."""
    with pytest.raises(FileFaults) as caught:
        prepare_tables(**files, out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    assert len(caught.value.faults) == min(20, caught.value.total)
    return [line.replace(f"{next(iter(files.values())).parent}/", "") for line in caught.value.faults]
