"""Words of texts, and texts without markup, as polars expressions.

These words serve to find documents that share title words and to cut phrases for demonstrations. Retrievers have an
analyser of their own.
"""

import html.entities

import polars as pl

__all__ = ["MAX_WORDS", "count_long", "count_words", "plain_text", "words"]

MAX_WORDS = 16
"""Default word cap of rewrites in the environments of ESCI and of a user's own data; that of H&M is larger."""

_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー"
_LETTERS = rf"[\w--[{_SCRIPTS}]]+"
_WORD = rf"\p{{Han}}+|\p{{Hiragana}}+|[\p{{Katakana}}ー]+|\p{{Hangul}}+|{_LETTERS}(?:['\x{{2019}}]{_LETTERS})*"
_TAG = r"</?\s?[A-Za-z][^<>]{0,300}>"
_ENTITIES = {f"&{name};": chr(point) for name, point in html.entities.name2codepoint.items()} | {"&apos;": "'"}


def words(text: pl.Expr) -> pl.Expr:
    """List of the lower-case words of a text; null stays null.

    A word is a run of letters, digits and inner apostrophes. Text in scripts without spaces is cut where the script
    changes, which in Japanese is close to the ends of words.

    >>> pl.select(words(pl.lit("Women's ＴＯＰ, 2-pack スマホケース用"))).item().to_list()
    ["women's", 'top', '2', 'pack', 'スマホケース', '用']
    """
    return text.str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD)


def count_words(text: pl.Expr) -> pl.Expr:
    """Number of words in the sense of a retriever's analyser: runs of letters and digits, and single CJK characters.

    >>> pl.select(count_words(pl.lit("two words, 用 ケース"))).item()
    6
    """
    return text.str.count_matches(rf"[{_SCRIPTS}]|{_LETTERS}")


def count_long(queries: pl.Series) -> dict[str, int]:
    """Number of queries with more words than a rewrite may have by default, for the counts of a manifest.

    >>> count_long(pl.Series(["one two", "word " * 17]))
    {'queries_over_16_words': 1}
    """
    lengths = queries.to_frame("query").select(count_words(pl.col("query"))).to_series()
    return {f"queries_over_{MAX_WORDS}_words": int((lengths > MAX_WORDS).sum())}


def plain_text(text: pl.Expr) -> pl.Expr:
    """Text without HTML tags and with named entities replaced by their characters; blank texts become null.

    Numeric entities, which in product texts are nearly always emoji, become spaces.

    >>> pl.select(plain_text(pl.lit("<b>Soft</b> &amp; warm<br>5 < 6"))).item()
    'Soft  & warm 5 < 6'
    """
    bare = text.str.replace_all(_TAG, " ").str.replace_all(r"&#\w+;", " ")
    bare = bare.str.replace_many(list(_ENTITIES), list(_ENTITIES.values())).str.strip_chars()
    return pl.when(bare != "").then(bare)
