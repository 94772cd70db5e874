"""Digests of the files of a policy directory: written with it, and checked when it is opened."""

import hashlib
import json
import warnings
from pathlib import Path, PurePosixPath

from ospo_agents.errors import AgentError

__all__ = ["DIGEST_FILE", "FORMAT_FILE", "check_digests", "policy_digest", "write_digests"]

DIGEST_FILE = "digests.json"
"""File of a policy directory that holds the SHA-256 of each other file; it marks a policy that this project wrote."""
FORMAT_FILE = "prompt_format.json"
"""File of a policy directory that holds its prompt format."""

_AGAIN = "copy it again, or train again (ospo_agents.training.train, or the command `ospo train`)"


def write_digests(directory: Path) -> None:
    """Write the digests of all files of a directory into it."""
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*") if path.is_file()}
    digests = {name: _sha256(path) for name, path in sorted(files.items()) if name != DIGEST_FILE}
    (directory / DIGEST_FILE).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


def check_digests(directory: Path) -> None:
    """Raise unless the files of a policy of this project are those that were written.

    A directory without digests is either somebody else's model, or a policy written before there were digests. The
    latter has a prompt format; it is opened with a warning. All bytes are read, each time.

    Args:
        directory: A policy directory.

    Raises:
        AgentError: A file is missing or was changed, or the digests cannot be read.
    """
    path = directory / DIGEST_FILE
    if not path.is_file():
        if (directory / FORMAT_FILE).is_file():
            warnings.warn(
                f"the policy in {directory} was written before policies carried digests, so its files cannot be "
                "checked; save it again to have them (ospo_agents.policies.language_model.save_policy)",
                stacklevel=2,
            )
        return
    for name, digest in _read(path).items():
        file = directory / name
        if not file.is_file():
            raise AgentError(f"expected {file}, which {DIGEST_FILE} lists, but it is missing; {_AGAIN}")
        if _sha256(file) != digest:
            raise AgentError(
                f"expected {file} as it was written, but its SHA-256 is not that in {DIGEST_FILE}; {_AGAIN}; where the "
                f"change is yours, remove {DIGEST_FILE}"
            )


def policy_digest(directory: Path | str) -> str | None:
    """SHA-256 of the digests of a policy's files, equal for equal files alone; None where the policy has no digests.

    Args:
        directory: A policy directory, or a hub id, whose files are not read.
    """
    path = Path(directory) / DIGEST_FILE
    return _sha256(path) if path.is_file() else None


def _read(path: Path) -> dict[str, str]:
    """Digests by file name."""
    try:
        digests = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        digests = None
    if (
        not isinstance(digests, dict)
        or FORMAT_FILE not in digests
        or not all(isinstance(digest, str) and _is_inside(name) for name, digest in digests.items())
    ):
        raise AgentError(
            f"expected a JSON object of file names and SHA-256 digests in {path}, {FORMAT_FILE} among them; it holds "
            f"something else; {_AGAIN}"
        )
    return digests


def _is_inside(name: str) -> bool:
    """Whether a name is that of a file below the directory."""
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
