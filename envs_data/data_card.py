"""The data card of a prepared directory: what it holds, where it comes from, and what to know before using it."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from envs_data.descriptions import COLUMNS, RECORDS, about
from envs_data.layout import SPLITS, TABLES

__all__ = ["data_card_bytes"]

_FULL = 1.0
_SHOWN = 12  # different gains that are listed


def data_card_bytes(manifest: Mapping[str, Any], fingerprint: str, tables: Mapping[str, pl.DataFrame]) -> bytes:
    """Bytes of ``data_card.md``.

    Args:
        manifest: Manifest of the directory.
        fingerprint: Its digest.
        tables: The five tables by name; of the documents any columns.
    """
    facts = about(manifest["dataset"], manifest["synthetic"])
    lines = [
        f"# Data card: {facts.title}",
        "",
        "A prepared directory of OSPO: a task of rewriting queries for a frozen retriever. This page is made from the",
        "manifest and the tables; the same files, arguments and seed give the same page.",
        "",
        f"- Fingerprint: `{fingerprint}`",
        f"- Data: {'generated, not collected from people' if manifest['synthetic'] else 'real'}",
        f"- Judgements: {facts.judgements}",
        f"- Terms: {facts.terms}",
        "- People: they typed the queries, and may have named somebody. Leave personal data out of the sources.",
        "",
        "## Size",
        "",
        *_size_lines(tables),
        "",
        "## Left out, filled up, counted",
        "",
        *_listed(manifest["counts"]),
        "",
        "## Made from",
        "",
        *[f"- `{name}`: sha256 `{digest}`" for name, digest in manifest["sources"].items()],
        *([] if manifest["sources"] else ["- no files"]),
        "",
        "Arguments:",
        "",
        *_listed(manifest["arguments"]),
        "",
        "## Files",
        "",
        "| file | column | meaning |",
        "|---|---|---|",
    ]
    for table in TABLES:
        lines.append(f"| `{table}.parquet` | | {RECORDS[table]} |")
        lines += [f"| | `{column}` | {meaning} |" for column, meaning in COLUMNS[table].items()]
    return ("\n".join(lines) + "\n").encode()


def _size_lines(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    queries, qrels, pools = (tables[name] for name in ("queries", "qrels", "pools"))
    splits = {split: int((queries["split"] == split).sum()) for split in SPLITS}
    each = qrels.height / max(queries.height, 1)
    sizes = pools["doc_rows"].list.len().to_numpy()
    gains = qrels.group_by(pl.col("gain").round(3)).len().sort("gain", descending=True)
    listed = zip(gains["gain"].head(_SHOWN).to_list(), gains["len"].head(_SHOWN).to_list(), strict=True)
    shown = ", ".join(f"{gain:g}: {count:,}" for gain, count in listed)
    more = f", and {gains.height - _SHOWN} more values" if gains.height > _SHOWN else ""
    return [
        f"- {tables['documents'].height:,} documents",
        f"- {queries.height:,} queries: " + ", ".join(f"{count:,} {split}" for split, count in splits.items()),
        f"- {qrels.height:,} judgements, {each:.1f} a query; {(qrels['gain'] >= _FULL).sum():,} of full gain",
        f"- judgements by gain: {shown}{more}",
        f"- pools of {sizes.min():,} to {sizes.max():,} documents",
        f"- {tables['demonstrations'].height:,} demonstrations",
    ]


def _listed(values: Mapping[str, Any]) -> list[str]:
    return [f"- `{name}`: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()] or ["- nothing"]
