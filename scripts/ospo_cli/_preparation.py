"""A preparation: which function prepares each kind of files, and what was written and left out, in words."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from envs_data import (
    SPLITS,
    PreparedData,
    prepare_beir,
    prepare_esci,
    prepare_hm,
    prepare_irds,
    prepare_log,
    prepare_tables,
)

__all__ = ["prepare", "summary"]

_LEFT_OUT = {
    "log_rows_without_query": "rows of the log without a query",
    "log_rows_without_document": "rows of the log without a document",
    "log_rows_without_action": "rows of the log without an action",
    "log_rows_of_unknown_documents": "rows of the log on documents that the documents file does not have",
    "log_rows_after_their_split": "rows of the log on earlier queries after the first query of a later split",
    "pairs_without_support": "pairs of query and document with too few actions (--minimum-support)",
    "judgements_repeated": "judgements that repeat a query and a document (the higher gain was kept)",
    "judgements_without_query": "judgements of queries that the queries file does not have",
    "judgements_without_document": "judgements of documents that the documents file does not have",
    "queries_without_judgement": "queries without a judgement",
    "queries_without_full_gain": "queries without a document of full gain (at or above --full-gain)",
    "demonstrations_without_query": "demonstrations of queries that the queries file does not have",
    "demonstrations_not_of_training": "demonstrations of queries that are not training ones",
    "queries_blank": "queries without text",
    "queries_without_exact": "queries without an Exact product in the corpus",
    "judgements_of_queries_left_out": "judgements of the queries left out",
    "purchases_unusable": "purchases of articles that the articles file does not have, or without date or customer",
    "customers_without_earlier_purchase": "customers without a purchase before their last date",
    "demonstrations_empty_left_out": "empty demonstrations beyond a third",
    "customers_not_drawn": "customers beyond --max-queries",
    "customers_without_new_need": "customers whose last date has no article of a known type that is new to them",
}
_SHORTFALLS = {
    "pool_hard_missing": "places for hard negatives, for want of documents; they went to related ones",
    "pool_related_missing": "places for related negatives (those passed on included); they went to random ones",
    "pool_places_empty": "places stayed empty, as the corpus has too few documents",
    "pools_oversize": "pools hold more judged documents than --pool-size; none was cut",
}


_NOTES = {
    "documents_blank": "documents have neither title nor text; no query matches them",
    "judgements_negative": "judgements are below 0; they count as 0, judged and not relevant",
    "queries_identical_to_document": "queries have the id of a document, which is never ranked for them",
    "judgements_identical_to_query": "judgements name a document with the id of their query: no ranking can earn them",
    "queries_over_16_words": "queries have more than 16 words, the default of --max-words: it cuts rewrites, no query",
}
_PREPARE: Mapping[str, Callable[..., PreparedData]] = {
    "esci": prepare_esci,
    "hm": prepare_hm,
    "table": prepare_tables,
    "beir": prepare_beir,
    "log": prepare_log,
    "irds": prepare_irds,
}


def prepare(dataset: str, out: Path, **settings: Any) -> PreparedData:
    """Prepare a data set.

    Args:
        dataset: ``esci``, ``hm``, ``table``, ``beir``, ``log`` or ``irds``.
        out: Directory to write.
        settings: Settings of that kind's function, such as :func:`envs_data.prepare_esci`.
    """
    return _PREPARE[dataset](out=out, **settings)


def _of_kind(counts: Mapping[str, int]) -> str:
    """Words on demonstrations that are words to add to the query."""
    if "demonstrations_empty" not in counts:
        return ""
    return (
        f": {counts['demonstrations_empty']:,} empty, {counts['demonstrations_corrected']:,} with a corrected word of "
        "the query"
    )


def summary(data: PreparedData, out: Path) -> list[str]:
    """Lines on what was written and what was left out."""
    counts: Mapping[str, int] = data.manifest["counts"]
    splits = {name: int((data.queries["split"] == name).sum()) for name in SPLITS}
    kinds = ", ".join(f"{counts[f'pool_{kind}']:,} {kind}" for kind in ("judged", "hard", "related", "random"))
    sizes = data.pools["doc_rows"].list.len().to_numpy()
    lines = [
        f"Wrote {out}:",
        f"  documents       {data.documents.height:,}",
        f"  queries         {data.queries.height:,}: " + ", ".join(f"{n:,} {name}" for name, n in splits.items()),
        f"  judgements      {data.qrels.height:,}",
        f"  pools           {sizes.min():,} to {sizes.max():,} documents each; in all {kinds}",
        f"  demonstrations  {data.demonstrations.height:,}, of training queries{_of_kind(counts)}",
    ]
    sections = {"Left out:": _LEFT_OUT, "Filled or empty places in pools:": _SHORTFALLS, "Worth knowing:": _NOTES}
    for heading, sentences in sections.items():
        listed = [f"  {counts[name]:,} {sentence}" for name, sentence in sentences.items() if counts.get(name)]
        lines += [heading, *listed] if listed else []
    splits_drawn = data.manifest["arguments"].get("splits_drawn")
    if splits_drawn:
        lines.append(f"Splits: {', '.join(splits_drawn)} were drawn by seed, as the files do not say them.")
    lines += _log_lines(data.manifest["arguments"])
    if counts.get("queries_without_full_gain", 0) > data.queries.height:
        lines.append("Warning: most judged queries were left out; a lower --full-gain keeps more of them.")
    lines += [f"Warning: there is no {name} query." for name, n in splits.items() if n == 0]
    return lines


def _log_lines(arguments: Mapping[str, Any]) -> list[str]:
    """Lines on the splits by time and on the propensities of a log."""
    cuts = ", ".join(f"{name} from {time} on" for name, time in arguments.get("splits_from", {}).items())
    lines = [f"Splits by time: {cuts}."] if cuts else []
    estimate = arguments.get("propensity_estimate")
    if estimate:
        pairs = zip(estimate["values"], estimate["errors"], strict=True)
        texts = [f"{value:.2f}" + (f" ± {error:.2f}" if error else "") for value, error in pairs]
        values = ", ".join(f"{place}: {text}" for place, text in enumerate(texts, start=1))
        lines.append(f"Propensity by position: {values}")
        lines.append(
            f"  estimated from {estimate['actions']:,} actions on {estimate['pairs']:,} pairs of query and document "
            "that were shown at several positions"
        )
        if estimate["unknown"]:
            unknown = ", ".join(map(str, estimate["unknown"]))
            lines.append(f"  positions {unknown} have the value before them, since no such pair tells theirs")
    return lines
