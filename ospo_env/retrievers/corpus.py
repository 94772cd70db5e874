"""Corpus that a retriever is made from."""

from collections.abc import Sequence
from functools import cached_property

from envs_data.documents import Documents, columns_digest, corpus_digest

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
        titles: As above; none are empty.
        digest: :attr:`digest`, if it is known.
        columns_digest: :attr:`columns_digest`, if it is known.
    """

    def __init__(
        self,
        doc_ids: Sequence[str],
        texts: Sequence[str],
        titles: Sequence[str] | None = None,
        *,
        digest: str | None = None,
        columns_digest: str | None = None,
    ) -> None:
        self.doc_ids = doc_ids
        self.texts = texts
        self.titles = ("",) * len(doc_ids) if titles is None else titles
        self._digests = digest, columns_digest

    @classmethod
    def of_documents(cls, documents: Documents) -> "Corpus":
        """The documents of a data set."""
        return cls(
            documents.doc_ids,
            documents.texts,
            documents.titles,
            digest=documents.digest,
            columns_digest=documents.columns_digest,
        )

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
        return self._digests[0] or corpus_digest(self.texts)

    @cached_property
    def columns_digest(self) -> str:
        """SHA-256 hex digest of texts, ids and titles: equal ones mean the same documents."""
        return self._digests[1] or columns_digest(self.digest, self.doc_ids, self.titles)
