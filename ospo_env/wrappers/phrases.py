"""Texts out of ready-made phrases: which phrases there are, and how a choice among them becomes a rewrite."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from string import Formatter
from types import MappingProxyType

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.prompts import Query
from ospo_env.task import RetrievalTask
from ospo_env.text import clean_text, token_spans

__all__ = [
    "catalogue_phrases",
    "check_phrases",
    "check_template",
    "fill_template",
    "phrase_templates",
    "phrases_template",
]

_PIECE_ENDS = re.compile("[^\\w\\s'\u2019&/+-]+|\\s-+\\s")  # apostrophes and hyphens stand inside words
_MOST_WORDS = 3
_TITLES = 20_000
_SEPARATORS = " ,;:|/-"


def catalogue_phrases(task: RetrievalTask, size: int) -> tuple[str, ...]:
    """The most frequent phrases of the task's demonstrations, or of document titles where there are none.

    A phrase is what stands between two punctuation marks and has one to three words, in lower case. Demonstrations
    are made from training targets only; titles are those of the first 20,000 documents, which are stored in random
    order. No query of any split is read.

    Args:
        task: Task to read.
        size: Phrases wanted, at least 1.

    Returns:
        At most ``size`` different phrases, most frequent first, equally frequent ones in alphabetical order.

    Raises:
        TaskError: ``size`` is below 1, or there is no phrase at all.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise TaskError(f"expected the number of phrases as a whole number of at least 1; got {size!r}")
    texts = [text for _, text in task.demonstrations()] or task.data.documents["title"][:_TITLES].to_list()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_pieces(text))
    if not counts:
        raise TaskError(
            "found no phrase of one to three words in the demonstrations or titles; pass phrases of your own"
        )
    return tuple(sorted(counts, key=lambda phrase: (-counts[phrase], phrase))[:size])


def check_phrases(phrases: Sequence[str], what: str = "phrases") -> tuple[str, ...]:
    """The phrases as a tuple, if they are different texts and at least one.

    Raises:
        TaskError: They are not.
    """
    if (
        isinstance(phrases, str)
        or not isinstance(phrases, Sequence)
        or not all(isinstance(one, str) for one in phrases)
    ):
        raise TaskError(
            f"expected {what} as a list of texts, or how many to take from the catalogue; got {phrases!r:.80}"
        )
    if not phrases:
        raise TaskError(f"expected at least one text among the {what}; got none")
    repeated = [phrase for phrase, count in Counter(phrases).items() if count > 1]
    if repeated:
        raise TaskError(f"expected different {what}; {repeated[0]!r} is there more than once")
    return tuple(phrases)


def check_template(template: str, fields: Sequence[str]) -> str:
    """The template, if it names none but some fields, each as ``{name}`` and nothing more.

    Raises:
        TaskError: It does not, or its braces do not match.
    """
    try:
        parsed = list(Formatter().parse(template))
    except (TypeError, ValueError) as error:
        raise TaskError(f"cannot read the template {template!r}: {error}; write a brace as {{{{ or }}}}") from None
    for _, field, form, conversion in parsed:
        if field is None:
            continue
        if field not in fields:
            raise TaskError(unknown_name(f"field of the template {template!r}:", field, fields))
        if form or conversion:
            raise TaskError(f"expected {{{field}}} without a format in the template; got {template!r}")
    return template


def fill_template(template: str, query: Query, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """A template with ``{query}``, ``{history}`` (purchases joined by ``; ``) and other fields filled in.

    Where a field is empty, the text before it is left out, and the signs between pieces at either end.

    Args:
        template: As :func:`check_template` accepts it.
        query: Query of the current prompt.
        values: Other fields by name.

    Returns:
        The text.

    >>> shoe = Query("q1", "train", "{shoe}", (), ())
    >>> fill_template("{query}, {history}, {phrases}", shoe, {"phrases": "red, wool"})
    '{shoe}, red, wool'
    """
    fields = {"query": query.query, "history": "; ".join(query.history), **values}
    filled, lacking = "", False
    for literal, field, _, _ in Formatter().parse(template):
        value = "" if field is None else fields[field]
        empty = field is not None and not value.strip()
        lacking |= empty
        filled += "" if empty else literal + value
    return filled.strip(_SEPARATORS) if lacking else filled


def phrases_template(compose: str) -> str:
    """The default template of chosen phrases: behind the query, or alone where the task sends the query itself."""
    return "{phrases}" if compose == "append" else "{query}, {phrases}"


def phrase_templates(phrases: Sequence[str], compose: str = "replace") -> tuple[str, ...]:
    """The raw query, and the raw query with one phrase behind it, for each phrase.

    Args:
        phrases: The phrases.
        compose: Mode of the task; with ``"append"`` it sends the query itself, and the templates leave it out.

    >>> phrase_templates(["red", "size {8}"])
    ('{query}', '{query}, red', '{query}, size {{8}}')
    >>> phrase_templates(["red"], "append")
    ('', 'red')
    """
    escaped = [phrase.replace("{", "{{").replace("}", "}}") for phrase in phrases]
    if compose == "append":
        return ("", *escaped)
    return ("{query}", *(f"{{query}}, {phrase}" for phrase in escaped))


def _pieces(text: str) -> list[str]:
    """The phrases of a text, each once.

    >>> _pieces("Penny loafer, CALF  leather. rain-proof | a piece of four words, loafer, 8")
    ['penny loafer', 'calf leather', 'rain-proof', 'loafer', '8']
    """
    pieces = (" ".join(piece.split()).lower() for piece in _PIECE_ENDS.split(clean_text(text)))
    return [piece for piece in dict.fromkeys(pieces) if 1 <= len(token_spans(piece)) <= _MOST_WORDS]
