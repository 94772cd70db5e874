"""Models of sentence-transformers on inputs of equal length only: nothing is padded, hence no input sees another."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import one_line
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.forks import refuse_after_fork

__all__ = ["CHUNK", "forward", "known_tokens", "open_model"]

CHUNK = 4096
"""Inputs that are tokenised at once, after sorting by length, so that their lengths are alike."""

_FEWEST = 4  # inputs in a batch: smaller matrices are multiplied by other code, with other last bits
_MOST_TOKENS = {"cpu": 1024}  # in a batch: more of them leave the processor's cache
_MOST_TOKENS_ELSEWHERE = 2**16
_NEEDED = {"input_ids", "attention_mask"}


@lru_cache(maxsize=4)
def open_model(kind: str, directory: Path, dtype: str, device: str | None) -> Any:
    """Open a model once in a process; only local files are read, and no code that comes with a model is run.

    Args:
        kind: ``"SentenceTransformer"`` or ``"CrossEncoder"``.
        directory: Directory of its files.
        dtype: Type of number to compute in, ``"float32"`` or ``"bfloat16"``.
        device: ``"cpu"``, ``"cuda"``, ...; ``None`` takes an accelerator where there is one.

    Raises:
        TaskError: It cannot be opened, or does not read tokens with an attention mask.
    """
    refuse_after_fork("a model")
    import sentence_transformers  # slow to import, and an extra

    try:
        model = getattr(sentence_transformers, kind)(
            str(directory), device=device, local_files_only=True, trust_remote_code=False, model_kwargs={"dtype": dtype}
        )
        readable = set(model.preprocess(["a text"] if kind == "SentenceTransformer" else [("a", "b")])) >= _NEEDED
    except Exception as error:  # a directory may hold anything
        reason = one_line(f"{type(error).__name__}: {error}")
        raise TaskError(f"cannot open the model in {directory}: {reason}") from error
    if not readable:
        raise TaskError(f"expected a transformer in {directory}; got a model that takes no attention mask")
    return model.eval().requires_grad_(False)


def forward(model: Any, features: dict[str, Any], output: str, **arguments: Any) -> NDArray[np.float64]:
    """Run a model on tokenised inputs, in batches of equal length.

    On a CPU the output for an input is then the same alone and in any batch, to the last bit as far as the matrix
    library treats all rows alike; elsewhere the outputs agree to about 1e-6.

    Args:
        model: Model of :func:`open_model`.
        features: Features of B inputs, padded by ``model.preprocess``.
        output: Name of the output to return.
        arguments: Further arguments of the model's call.

    Returns:
        float64 (B, ...), finite.

    Raises:
        RetrieverError: An output is not finite.
    """
    lengths = features["attention_mask"].sum(1).numpy()
    left = model.tokenizer.padding_side == "left"
    most = _MOST_TOKENS.get(model.device.type, _MOST_TOKENS_ELSEWHERE)
    on_device = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in features.items()}
    batches = []
    for length, rows in _batches(lengths, most):
        tokens = slice(-length, None) if left else slice(length)
        batch = {
            name: value[rows][:, tokens] if hasattr(value, "ndim") and value.ndim == 2 else value
            for name, value in on_device.items()
        }
        batches.append((rows, model(batch, **arguments)[output]))
    outputs = np.empty((len(lengths), *batches[0][1].shape[1:]))
    for rows, of_batch in batches:  # the first place where an accelerator has to have finished
        outputs[rows] = of_batch.float().cpu().numpy()
    if not np.isfinite(outputs).all():
        raise RetrieverError("the model gives numbers that are not finite")
    return outputs


def known_tokens(model: Any, texts: list[str], input_ids: Any = None) -> NDArray[np.bool_]:
    """Whether each of B texts holds a token that is neither special nor unknown: bool (B,); False for blank texts.

    Args:
        model: Model of :func:`open_model`.
        texts: B texts.
        input_ids: Token ids of the texts alone, (B, T), if they are known already.
    """
    if not texts:
        return np.empty(0, dtype=np.bool_)
    if input_ids is None:
        input_ids = model.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")["input_ids"]
    blank = np.array([not text.strip() for text in texts], dtype=np.bool_)
    return np.asarray(~np.isin(input_ids.numpy(), model.tokenizer.all_special_ids).all(axis=1) & ~blank)


def _batches(lengths: NDArray[np.int64], most_tokens: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Rows of equal length, longest first, in batches of bounded tokens; rows repeat where there are too few."""
    for length in np.unique(lengths)[::-1].tolist():
        rows = np.flatnonzero(lengths == length)
        most = max(_FEWEST, most_tokens // length)
        for batch in np.array_split(rows, -(-len(rows) // most)):
            yield length, np.resize(batch, max(len(batch), _FEWEST))
