"""Corpus that a retriever is made from."""

from collections.abc import Sequence
from functools import cached_property

from envs_data.documents import Documents, corpus_digest

__all__ = ["Corpus"]


class Corpus:
    """D documents in row order; a factory of retrievers gets one as its first argument.

    The columns of a large data set are read from disk on access: in slices, or in turn.

    Attributes:
        doc_ids: D ids, those of the data set; an index that stands elsewhere is joined by them.
        texts: D texts, titles included.
        titles: D titles, empty where a document has none.

    Args:
        doc_ids: As above.
        texts: As above.
        titles: As above; ``None`` where all are empty.
        digest: :attr:`digest`, if it is known.
        key: :attr:`key`, if it is known.
    """

    def __init__(
        self,
        doc_ids: Sequence[str],
        texts: Sequence[str],
        titles: Sequence[str] | None = None,
        *,
        digest: str | None = None,
        key: str | None = None,
    ) -> None:
        self.doc_ids = doc_ids
        self.texts = texts
        self.titles = ("",) * len(doc_ids) if titles is None else titles
        self._known = digest, key

    @classmethod
    def of_documents(cls, documents: Documents) -> "Corpus":
        """The documents of a data set."""
        columns = documents.doc_ids, documents.texts, documents.titles
        return cls(*columns, digest=documents.digest, key=documents.key)

    @classmethod
    def of_texts(cls, texts: Sequence[str], digest: str | None = None) -> "Corpus":
        """Texts alone, whose ids are their rows.

        Args:
            texts: D texts.
            digest: :attr:`digest`, if it is known.

        >>> Corpus.of_texts(["red shoe", "blue coat"]).doc_ids
        ('0', '1')
        """
        return cls(tuple(map(str, range(len(texts)))), texts, digest=digest)

    def __len__(self) -> int:
        return len(self.doc_ids)

    @cached_property
    def digest(self) -> str:
        """SHA-256 hex digest of the texts in row order, for fingerprints."""
        return self._known[0] or corpus_digest(self.texts)

    @cached_property
    def ids_digest(self) -> str:
        """SHA-256 hex digest of the ids in row order."""
        return corpus_digest(self.doc_ids)

    @cached_property
    def key(self) -> str:
        """Key of what is remembered in this process: equal ones mean equal documents, titles and ids included."""
        return self._known[1] or " ".join([self.digest, self.ids_digest, corpus_digest(self.titles)])
