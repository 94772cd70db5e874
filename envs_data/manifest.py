"""The manifest of a prepared directory: origin of its data, counts, and the digest of every file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs_data.errors import HOW_TO_PREPARE, DataError, one_line
from envs_data.layout import TABLES

__all__ = ["CARDS", "FILES", "FORMAT_VERSION", "MANIFEST", "manifest_bytes", "manifest_digest", "read_manifest"]

FORMAT_VERSION = 1

MANIFEST = "manifest.json"

CARDS = ("data_card.md", "croissant.json")
"""Pages about the data beside the manifest, made from it: for people, and for tools that read Croissant."""

FILES = {f"{name}.parquet": name for name in TABLES}
"""Name of the table that each file holds."""

_FIELDS: Mapping[str, type] = {
    "format_version": int,
    "dataset": str,
    "synthetic": bool,
    "arguments": dict,
    "sources": dict,
    "counts": dict,
    "files": dict,
}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a prepared directory and check its fields.

    Raises:
        DataError: There is no manifest, or it is not one of this format version.
        OSError: The file cannot be read.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        if path.is_file():
            raise DataError(f"{path} is a file, expected a directory: name the prepared directory that holds it")
        what = f"holds no {MANIFEST}" if path.is_dir() else "does not exist"
        raise DataError(f"expected a prepared directory at {path}, but it {what}; make one with {HOW_TO_PREPARE}")
    try:
        content = json.loads(manifest_path.read_bytes())
    except ValueError as error:
        raise DataError(
            f"{manifest_path} is not a manifest ({one_line(error)}); make it again with {HOW_TO_PREPARE}"
        ) from error
    manifest: dict[str, Any] = content if isinstance(content, dict) else {}
    version = manifest.get("format_version")
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}, this version reads {FORMAT_VERSION}; "
            f"make it again with {HOW_TO_PREPARE}"
        )
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name), kind):
            raise DataError(
                f"{manifest_path} is not a manifest (expected {name}, of type {kind.__name__}); "
                f"make it again with {HOW_TO_PREPARE}"
            )
    return manifest


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Bytes of a manifest's file: JSON with sorted keys."""
    return (json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 hex digest of a manifest, which holds the digest of every table: the fingerprint of the data."""
    return hashlib.sha256(manifest_bytes(manifest)).hexdigest()
