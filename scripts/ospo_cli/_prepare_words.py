"""Words of ``ospo prepare``: what each kind of files is, and examples of its command."""

from collections.abc import Mapping

__all__ = ["DESCRIPTIONS", "EXAMPLES"]

_ESCI = """Reads shopping_queries_dataset_examples.parquet and shopping_queries_dataset_products.parquet
of the Amazon Shopping Queries Dataset. Documents are the products of one locale; a query
needs an Exact product."""

_HM = """Reads articles.csv[.gz] and transactions_train.csv[.gz] of H&M Personalized Fashion
Recommendations. Documents are all articles; a query is a customer's need on the last date
of a purchase, with earlier purchases as history."""

_TABLE = """Reads a corpus, queries and judgements of your own, each a Parquet, CSV, TSV or JSON Lines file
with these columns, and others, which are ignored:
  documents       doc_id, text, optional title
  queries         query_id, query, optional split (train, validation or test) and history
                  (earlier purchases: a list, or a text that is cut at --history-separator)
  qrels           query_id, doc_id, optional gain (at least 0; 1 if there is no such column)
  demonstrations  query_id, text (an example rewrite)
Errors are reported with file, row and column, up to 20 at once. The header of a CSV or TSV file is
row 1, as in a spreadsheet; a row of JSON Lines is its line."""

_BEIR = """Reads the layout of BEIR: corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv (or
validation.tsv), test.tsv, of which one is enough. Without train.tsv, splits are drawn from all
judged queries; without dev.tsv, validation queries are drawn from the training ones. Judgements
below 0 count as 0. A document with the id of a query is never ranked for it. With --graded, nDCG
is trec_eval's on the published files. Errors are reported with file, row and column, up to 20 at
once; the header of a TSV file is row 1."""

_LOG = """Reads a search log and the documents, each a Parquet, CSV, TSV or JSON Lines file:
  log             query, doc_id, and action (click, purchase, ...), a row for each time, or count;
                  optional position (from 1) and time
  documents       doc_id, text, optional title
A pair of query and document has the level of its strongest action as gain, if there are enough actions."""

_IRDS = """Reads a data set of the library ir_datasets, such as irds:beir/nfcorpus or irds:antique/test, which
downloads what it lacks. Subsets train, dev and test are kept as splits; of one subset splits are drawn."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "esci": ("--source DIR --out runs/data/esci", "--source DIR --out runs/data/esci-jp --locale jp --version large"),
    "hm": ("--source DIR --out runs/data/hm", "--source DIR --out runs/data/hm-small --max-queries 1000"),
    "table": (
        "--documents documents.csv --queries queries.csv --qrels qrels.csv --out runs/data/own",
        "--documents d.parquet --queries q.jsonl --qrels j.tsv --demonstrations r.jsonl --out runs/data/own",
    ),
    "log": (
        "--log log.csv --documents documents.csv --columns query=search_term,doc_id=sku --out runs/data/shop",
        "--log log.parquet --documents d.parquet --split time --propensity estimate --out runs/data/shop",
    ),
    "irds": ("beir/nfcorpus --out runs/data/nfcorpus",),
    "beir": (
        "--source DIR --out runs/data/beir",
        "--source DIR --out runs/data/beir --demonstrations expansions --graded",
    ),
}
"""Arguments of example commands of each kind."""

DESCRIPTIONS: Mapping[str, str] = {
    "esci": _ESCI,
    "hm": _HM,
    "table": _TABLE,
    "log": _LOG,
    "beir": _BEIR,
    "irds": _IRDS,
}
"""Descriptions of the files that each kind reads."""
