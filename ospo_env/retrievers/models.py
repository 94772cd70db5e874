"""Files and digest of a neural retriever's model: a directory, or a hub id in the local cache."""

import hashlib
import importlib.util
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from envs_data.errors import one_line
from envs_data.files import file_sha256
from ospo_env.errors import TaskError

__all__ = ["DTYPES", "ModelFiles", "check_dtype", "library_versions", "locate_model"]

DTYPES = ("float32", "bfloat16")
"""Types of number that a model may compute in."""

_CONTENT = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model")  # weights, settings and vocabularies
_UNUSED = ("onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.onnx", "*.tflite")
_ORGANISATION = "sentence-transformers"  # of ids without one, as the library reads them
_LIBRARIES = ("sentence-transformers", "transformers")


class ModelFiles(NamedTuple):
    """The files of a model.

    Attributes:
        directory: Directory of the files.
        digest: Digest of their content; for a model of the hub its id and commit.
    """

    directory: Path
    digest: str


def locate_model(kind: str, model: str, revision: str | None, hub: bool) -> ModelFiles:
    """Find a model in the format of sentence-transformers.

    Args:
        kind: Name of the retriever, for messages.
        model: A directory or a hub id; an existing directory takes precedence.
        revision: Branch, tag or commit of a hub id, the default branch if ``None``.
        hub: Whether the hub may be asked; otherwise the id must be in the hub's local cache.

    Returns:
        Its files.

    Raises:
        TaskError: sentence-transformers is not installed, or there is no such model.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise TaskError(
            f"the retriever {kind!r} needs sentence-transformers, which is not installed: pip install 'ospo[dense]'"
        )
    directory = Path(model)
    if directory.is_dir():
        return ModelFiles(directory, _content_digest(directory.resolve()))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    name = model if "/" in model else f"{_ORGANISATION}/{model}"
    try:
        snapshot = snapshot_download(
            name, revision=revision, local_files_only=not hub, ignore_patterns=list(_UNUSED), max_workers=1
        )
    except HFValidationError as error:
        raise TaskError(f"expected a directory or a hub id for the retriever {kind!r}; got {model!r}") from error
    except Exception as error:  # the network and the hub fail in many ways
        advice = (
            f"the hub gives no model of that id ({one_line(error)})"
            if hub
            else f"the local cache of the hub does not hold {name!r}; allow a download with {kind}:{model}?hub=true"
        )
        raise TaskError(
            f"cannot open the model {model!r} of the retriever {kind!r}: no directory, and {advice}"
        ) from error
    return ModelFiles(Path(snapshot), f"{name}@{Path(snapshot).name}")


def check_dtype(kind: str, dtype: str) -> None:
    """Raise a ``TaskError`` unless a model can compute in this type of number."""
    if dtype not in DTYPES:
        raise TaskError(f"expected the dtype of the retriever {kind!r} as one of {', '.join(DTYPES)}; got {dtype!r}")


def library_versions() -> list[str]:
    """Versions of the libraries that decide a model's output."""
    return [f"{library} {version(library)}" for library in _LIBRARIES]


@lru_cache(maxsize=8)
def _content_digest(directory: Path) -> str:
    """Digest of the names and contents of all files that decide a model's output."""
    files = sorted({path for pattern in _CONTENT for path in directory.rglob(pattern) if path.is_file()})
    if not any(path.name == "config.json" or path.name == "modules.json" for path in files):
        raise TaskError(f"expected a model in {directory}, with its config.json; found none")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(directory).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
