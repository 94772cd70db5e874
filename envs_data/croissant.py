"""Metadata of a prepared directory in MLCommons' Croissant format, version 1.0, so that other tools can load it.

Source: Akhtar et al. 2024, "Croissant: A Metadata Format for ML-Ready Datasets", arXiv 2403.19546.
"""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from envs_data.descriptions import COLUMNS, RECORDS, about
from envs_data.layout import TABLES

__all__ = ["croissant_bytes"]

_TERMS = (
    "citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
"""The context of the format's specification."""

_TYPES: Mapping[Any, str] = {pl.String: "sc:Text", pl.UInt32: "sc:Integer", pl.Float64: "sc:Float"}
_KEYS = {"documents": "doc_id", "queries": "query_id"}


def croissant_bytes(manifest: Mapping[str, Any], fingerprint: str) -> bytes:
    """Bytes of ``croissant.json``.

    Args:
        manifest: Manifest of the directory.
        fingerprint: Its digest, which names the data set.
    """
    facts = about(manifest["dataset"], manifest["synthetic"])
    content = {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{manifest['dataset']}-{fingerprint[:12]}",
        "description": f"{facts.title}, prepared as a task of rewriting queries. {facts.judgements} {facts.terms}",
        **({"license": facts.licence} if facts.licence else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file,
                "name": file,
                "contentUrl": file,
                "encodingFormat": "application/x-parquet",
                "sha256": digest,
            }
            for file, digest in manifest["files"].items()
        ],
        "recordSet": [_record_set(name) for name in TABLES],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _record_set(table: str) -> dict[str, Any]:
    key = {"key": {"@id": f"{table}/{_KEYS[table]}"}} if table in _KEYS else {}
    fields = [_field(table, column, kind) for column, kind in TABLES[table].items()]
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "description": RECORDS[table], **key, "field": fields}


def _field(table: str, column: str, kind: Any) -> dict[str, Any]:
    refers = column == "query_id" and table != "queries"
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column}",
        "name": column,
        "description": COLUMNS[table][column],
        "dataType": _TYPES[kind.inner if isinstance(kind, pl.List) else kind],
        **({"repeated": True} if isinstance(kind, pl.List) else {}),
        "source": {"fileObject": {"@id": f"{table}.parquet"}, "extract": {"column": column}},
        **({"references": {"field": {"@id": "queries/query_id"}}} if refers else {}),
    }
