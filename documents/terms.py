"""Words, as the index and the questions have them.

PostgreSQL's own parser takes `and/or` for a path, `C++` for a `c` and a run of Chinese for one word, and what
stands before and after decides what it sees. So texts and questions are cut into words here, alike, and
PostgreSQL only stems them.
"""

import re
import unicodedata

CONFIGURATION = "documents_text"
"""PostgreSQL's text search configuration: English stems, no stop words."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
"""Letters and digits; in scripts without blanks each character is a word."""

# Soft hyphens, zero-width blanks and joiners, marks of direction, the Arabic tatweel: no part of a word.
_DIRECTION = (0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_INVISIBLE = dict.fromkeys([0xAD, 0x640, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *_DIRECTION])
# Accents of Latin, Greek and Cyrillic. Other scripts' marks are letters.
_ACCENTS = dict.fromkeys(range(0x300, 0x370))


def fold(text: str) -> str:
    """`Straße` → `strasse`, `Résumé` → `resume`, `ﬁne` → `fine`, full-width letters as plain ones."""
    decomposed = unicodedata.normalize("NFKD", text).translate(_INVISIBLE).translate(_ACCENTS)
    return unicodedata.normalize("NFC", decomposed.casefold())


def words(text: str) -> list[str]:
    """The words of a text in their order, folded. Stored with blanks between them, for `to_tsvector`."""
    return WORD.findall(fold(text))
