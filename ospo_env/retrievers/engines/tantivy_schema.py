"""Files of an index of Tantivy: its schema, its commit, its analysers; and a new index of a corpus."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from envs_data.errors import one_line, unknown_name
from ospo_env.errors import TaskError
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.fields import Field

__all__ = ["build_index", "commit_name", "field_analysers", "make_analyser"]

_LANGUAGES = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}
_LONGEST_TOKEN = 40  # bytes; Tantivy's analysers drop others
_HEAP = 64_000_000  # bytes of the writer


def commit_name(path: Path) -> str:
    """Name of the commit that an index stands at: its number, segments, and what was deleted in them.

    Raises:
        TaskError: There is no index.
    """
    meta = _meta(path)
    segments = sorted(f"{segment['segment_id']} {json.dumps(segment.get('deletes'))}" for segment in meta["segments"])
    return " ".join([str(meta["opstamp"]), *segments])


def _meta(path: Path) -> dict[str, Any]:
    try:
        meta: dict[str, Any] = json.loads((path / "meta.json").read_bytes())
        meta["segments"], meta["opstamp"], meta["schema"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TaskError(
            f"expected an index of Tantivy in {path}, but there is none ({one_line(error, 80)}); name the directory of "
            f"one, or have one built of the corpus in a new directory: tantivy:{path}?build=true"
        ) from error
    return meta


def field_analysers(path: Path, id_field: str, fields: Sequence[Field]) -> dict[str, str]:
    """Name of the analyser of each field, checked."""
    schema = {entry["name"]: entry for entry in _meta(path)["schema"]}
    for name in (id_field, *(name for name, _ in fields)):
        if name not in schema:
            raise TaskError(unknown_name(f"field of the index {path}:", name, schema))
    id_options = schema[id_field].get("options", {})
    id_analyser = (id_options.get("indexing") or {}).get("tokenizer")
    if schema[id_field]["type"] != "text" or id_analyser != "raw" or not id_options.get("stored"):
        raise TaskError(
            f"expected the field of ids {id_field!r} of the index {path} as text that is stored and indexed without "
            f"analysis (the tokenizer raw); got {schema[id_field]['type']} with the tokenizer {id_analyser}"
        )
    analysers = {}
    for name, _ in fields:
        indexing = schema[name].get("options", {}).get("indexing") or {}
        analyser = str(indexing.get("tokenizer"))
        if schema[name]["type"] != "text" or not _is_known(analyser):
            raise TaskError(
                f"expected the field {name!r} of the index {path} as text with one of Tantivy's own tokenizers "
                f"(default, whitespace, raw, en_stem, de_stem, ...); got {schema[name]['type']} with {analyser}"
            )
        analysers[name] = analyser
    return analysers


def _is_known(analyser: str) -> bool:
    language, _, stem = analyser.partition("_")
    return analyser in ("default", "raw", "whitespace") or (stem == "stem" and language in _LANGUAGES)


def make_analyser(name: str) -> Any:
    """The analyser that an index knows by this name."""
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    if name in ("raw", "whitespace"):
        return TextAnalyzerBuilder(getattr(Tokenizer, name)()).build()
    builder = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.remove_long(_LONGEST_TOKEN))
    builder = builder.filter(Filter.lowercase())
    if name != "default":
        builder = builder.filter(Filter.stemmer(_LANGUAGES[name.partition("_")[0]]))
    return builder.build()


def build_index(corpus: Corpus, path: Path) -> None:
    """Build an index of a corpus; of several processes one does so, and a directory is whole or not there."""
    import tantivy

    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / f".{path.name}.lock"):
            if path.exists():
                return
            partial = path.parent / f".{path.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            schema = tantivy.SchemaBuilder()
            schema.add_text_field("doc_id", stored=True, tokenizer_name="raw", index_option="basic")
            for name in ("title", "text"):
                schema.add_text_field(name, tokenizer_name="en_stem")
            writer = tantivy.Index(schema.build(), path=str(partial)).writer(_HEAP, 1)
            for doc_id, title, text in zip(corpus.doc_ids, corpus.titles, corpus.texts, strict=True):
                writer.add_document(tantivy.Document(doc_id=doc_id, title=title, text=text))
            writer.commit()
            writer.wait_merging_threads()
            partial.rename(path)
    except (OSError, ValueError) as error:
        raise TaskError(f"cannot build an index in {path}: {one_line(error)}") from error
