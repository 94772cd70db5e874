"""What preparation takes for a word, and how markup leaves a text; as polars expressions.

Environments have an analyser of their own; this one only finds documents that share title words and cuts phrases for
demonstrations.
"""

import html.entities

import polars as pl

__all__ = ["count_words", "plain_text", "words"]

_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}ー"
_LETTERS = rf"[\w--[{_SCRIPTS}]]+"
_WORD = rf"\p{{Han}}+|\p{{Hiragana}}+|[\p{{Katakana}}ー]+|\p{{Hangul}}+|{_LETTERS}(?:['\x{{2019}}]{_LETTERS})*"
_TAG = r"</?\s?[A-Za-z][^<>]{0,300}>"
_ENTITIES = {f"&{name};": chr(point) for name, point in html.entities.name2codepoint.items()} | {"&apos;": "'"}


def words(text: pl.Expr) -> pl.Expr:
    """Lower-case words of a text, as a list; null stays null.

    A word is a run of letters, digits and inner apostrophes; text of scripts written without spaces is cut where the
    script changes, which in Japanese is near where words end.

    >>> pl.select(words(pl.lit("Women's ＴＯＰ, 2-pack スマホケース用"))).item().to_list()
    ["women's", 'top', '2', 'pack', 'スマホケース', '用']
    """
    return text.str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD)


def count_words(text: pl.Expr) -> pl.Expr:
    """How many words a retriever's analyser sees: runs of letters and digits, and single characters of CJK scripts.

    >>> pl.select(count_words(pl.lit("two words, 用 ケース"))).item()
    6
    """
    return text.str.count_matches(rf"[{_SCRIPTS}]|{_LETTERS}")


def plain_text(text: pl.Expr) -> pl.Expr:
    """A text without HTML tags and with named entities written out; blank texts become null.

    Numeric entities, in product texts nearly always emoji, become spaces.

    >>> pl.select(plain_text(pl.lit("<b>Soft</b> &amp; warm<br>5 < 6"))).item()
    'Soft  & warm 5 < 6'
    """
    bare = text.str.replace_all(_TAG, " ").str.replace_all(r"&#\w+;", " ")
    bare = bare.str.replace_many(list(_ENTITIES), list(_ENTITIES.values())).str.strip_chars()
    return pl.when(bare != "").then(bare)
