"""Preparation of a user's own corpus, queries and judgements, from tables or from the layout of BEIR.

- **Documents** have a title and a text; both are indexed.
- **Gains**: a judgement of at least the *full* level has gain 1, a lower one its share of that level. So with labels
  0 to 3 and full level 3 the gains are 0, 1/3, 2/3 and 1, and with full level 1 they are 0 and 1. *Graded* gains are
  shares above 1 too: with full level 1 they are 0, 1, 2 and 3, and nDCG is that of the labels. A gain of at least 1 is
  full. A query without a document of full gain is left out and counted: mean reciprocal rank and recall count full
  gain only.
- **Splits** are those of the files, if these have any; otherwise they are drawn by seed.
- **Negatives**: *hard* shares a rare word of the title with a document of full gain, *related* has a word of the query
  in its title. The first 200 characters of the text take the place of a missing title.
- **Demonstrations** are those of the file, as far as they belong to training queries; without a file, each of the kind
  ``phrases`` is a run of the query's words, then phrases from the title and the text of a full-gain document, some
  dropped, and at times one of another document's title. The kinds ``expansions`` and ``associations`` are words to
  add to the query that can be predicted from it (:mod:`envs_data.assembly.expansions`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs_data.assembly.demonstrations import KINDS
from envs_data.custom.beir import read_beir
from envs_data.custom.irds import read_irds
from envs_data.custom.tables import OwnTables, read_tables
from envs_data.custom.write import OwnSettings, write_own
from envs_data.layout import SPLITS
from envs_data.prepared import PreparedData
from envs_data.writing import check_replaceable

__all__ = ["prepare_beir", "prepare_irds", "prepare_tables"]


def prepare_tables(
    documents: Path,
    queries: Path,
    qrels: Path,
    out: Path,
    *,
    demonstrations: Path | str = "phrases",
    history_separator: str = "|",
    multiline: bool = False,
    full_gain: float | None = None,
    graded: bool = False,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
    skip_unknown: bool = False,
    columns: Mapping[str, str] | None = None,
) -> PreparedData:
    """Make a prepared directory from tables, whose columns ``envs_data.custom.tables`` lists.

    The same rows, arguments and seed give the same tables, whatever the format and the order of the rows.

    Args:
        documents: File of the documents; like the others Parquet, CSV, TSV or JSON Lines.
        queries: File of the queries. Without a column ``split``, splits are drawn.
        qrels: File of the judgements.
        out: Directory to write; an earlier prepared directory there is replaced.
        demonstrations: File of example rewrites, or the kind of those that are made: ``"phrases"``, ``"expansions"`` or
            ``"associations"``.
        history_separator: Text between the entries of a history that is written as one text.
        multiline: Whether quoted fields of CSV files may hold line breaks; otherwise such a field is a fault, since two
            stray quotes make one of all rows between them.
        full_gain: Level of a judgement from which its gain is 1, above 0; ``None`` for the largest of the file.
        graded: Whether judgements above that level have gains above 1, so that nDCG tells them apart.
        validation_share: Share of validation queries, in [0, 1), if splits are drawn.
        test_share: Share of test queries, likewise.
        pool_size: Number of documents in a query's pool, from 2 to 10,000; more judged documents are all kept.
        seed: Seed of document order, splits, negatives and demonstrations, from 0 to 2**63 - 1.
        skip_unknown: Whether judgements of unknown queries or documents are left out and counted; otherwise each is a
            fault.
        columns: Names of columns in the files by those of ``envs_data.custom.tables``, for example
            ``{"doc_id": "sku", "text": "brand+description", "qrels.doc_id": "product"}``: for all tables that have such
            a column, or for the one that is named; texts may be joined from several.

    Returns:
        The data set as written.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file is missing, an argument is out of range, or nothing is left.
    """
    kind, examples = (demonstrations, None) if demonstrations in KINDS else (KINDS[0], Path(demonstrations))
    settings = OwnSettings(full_gain, graded, validation_share, test_share, pool_size, seed, str(kind))
    settings.check()
    check_replaceable(Path(out), *filter(None, (Path(documents), Path(queries), Path(qrels), examples)))
    tables = read_tables(
        Path(documents),
        Path(queries),
        Path(qrels),
        examples,
        separator=history_separator,
        multiline=multiline,
        skip_unknown=skip_unknown,
        columns=columns,
    )
    drawn_splits = SPLITS if tables.queries["split"].null_count() else ()
    others: dict[str, Any] = {"history_separator": history_separator, "skip_unknown": skip_unknown}
    others |= {"columns": dict(columns)} if columns else {}
    return write_own(tables, Path(out), "own", settings, drawn_splits, others)


def prepare_beir(
    source: Path,
    out: Path,
    *,
    keep_splits: bool = False,
    demonstrations: str = "phrases",
    full_gain: float = 1.0,
    graded: bool = False,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
    skip_unknown: bool = False,
) -> PreparedData:
    """Make a prepared directory from the layout of BEIR, which ``envs_data.custom.beir`` describes.

    Splits are those of the files of judgements. Most such data sets have no ``train.tsv`` and so no training queries:
    then splits are drawn from all judged queries. If there is a ``train.tsv`` and no ``dev.tsv``, validation queries
    are drawn from the training ones.

    Args:
        source: Directory of the files.
        out: Directory to write; an earlier prepared directory there is replaced.
        keep_splits: Whether no split is drawn, even if there are no training or validation queries then.
        demonstrations: Kind of the demonstrations: ``"phrases"``, ``"expansions"`` or ``"associations"``.
        full_gain: Level of a judgement from which its gain is 1, above 0. By default every positive judgement has
            gain 1, since few of these data sets have a document of their highest level for each query.
        graded: As in :func:`prepare_tables`. With the default level, gains are the judgements themselves: nDCG is that
            of trec_eval on the published files, and every query with a positive judgement stays.
        validation_share: As in :func:`prepare_tables`.
        test_share: As in :func:`prepare_tables`.
        pool_size: As in :func:`prepare_tables`.
        seed: As in :func:`prepare_tables`.
        skip_unknown: As in :func:`prepare_tables`.

    Returns:
        The data set as written.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file is missing, an argument is out of range, or nothing is left.
    """
    settings = OwnSettings(full_gain, graded, validation_share, test_share, pool_size, seed, demonstrations)
    settings.check()
    check_replaceable(Path(out), Path(source))
    tables = read_beir(Path(source), skip_unknown=skip_unknown)
    others = {"keep_splits": keep_splits, "skip_unknown": skip_unknown}
    return write_own(tables, Path(out), "beir", settings, _drawn_splits(tables, keep_splits), others)


def prepare_irds(
    name: str,
    out: Path,
    *,
    keep_splits: bool = False,
    demonstrations: str = "phrases",
    full_gain: float = 1.0,
    graded: bool = False,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
) -> PreparedData:
    """Make a prepared directory from a data set of the library ir_datasets, which downloads what it lacks.

    Splits are drawn as by :func:`prepare_beir`, where no subset is a training one. What BEIR names is prepared as from
    its files.

    Args:
        name: Name in ir_datasets, as :func:`~envs_data.custom.irds.read_irds` takes it.
        out: Directory to write; an earlier prepared directory there is replaced.
        keep_splits: As in :func:`prepare_beir`, as are the others.
        demonstrations: Likewise.
        full_gain: Likewise.
        graded: Likewise.
        validation_share: Likewise.
        test_share: Likewise.
        pool_size: Likewise.
        seed: Likewise.

    Returns:
        The data set as written.

    Raises:
        DataError: There is no such data set, it cannot be read, an argument is out of range, or nothing is left.
        ModuleNotFoundError: ir_datasets is not installed.
    """
    settings = OwnSettings(full_gain, graded, validation_share, test_share, pool_size, seed, demonstrations)
    settings.check()
    check_replaceable(Path(out))
    tables = read_irds(name)
    dataset = "beir" if tables.identical_ids else "irds"
    others = {"name": name, "keep_splits": keep_splits}
    return write_own(tables, Path(out), dataset, settings, _drawn_splits(tables, keep_splits), others)


def _drawn_splits(tables: OwnTables, keep_splits: bool) -> tuple[str, ...]:
    """Splits to draw: none that the files have, if they have training and validation queries."""
    present = set(tables.queries["split"].drop_nulls())
    if keep_splits or {"train", "validation"} <= present:
        return ()
    return SPLITS[:2] if "train" in present else SPLITS
