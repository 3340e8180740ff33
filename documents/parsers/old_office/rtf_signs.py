"""Signs in RTF that depend on their format: raised text, symbol fonts, and `\\*`. They are rewritten for striprtf."""

import re
from dataclasses import dataclass, replace

from striprtf.striprtf import font_table_group

from documents.parsers.signs.raised import superscript
from documents.parsers.signs.symbol_fonts import is_symbol_font, symbols

_TOKENS = re.compile(
    r"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<sign>[^a-zA-Z])"
    r"|(?P<brace>[{}])|(?P<text>[^\\{}]+)|\\"
)
_FONT_NAMES = re.compile(r"\\f(\d+)(?:\\[a-z*]+-?\d* ?|\{[^{}]*\}|\s)*([^;{}\\]+)")
_SYMBOL_FIELD = re.compile(
    r"\{\\field(?:\\[a-z]+-?\d* ?|\s)*\{\\\*\s*\\fldinst\s*[{\s]*(?:\\[a-z]+-?\d* ?|\s)*SYMBOL\s+(\d{1,5})[^{}\"]*"
    r"(?:\"([^\"{}]*)\"[^{}]*)?"
)
_FULL_RESULT = re.compile(r"[^{}]*\}++\s*+\{\\fldrslt(?:\\[a-z]++-?\d*+ ?|[\s{])*+[^}]")
_PROPERTIES = re.compile(
    r"(?:[cdt]?s|f|fs|b|i|ul|ulnone|ulw|strike|cf|cb|highlight|lang\w*|plain|kerning|expnd\w*|charscalex|[rl]trch|af|afs"
    r"|loch|hich|dbch|\w*rsid|par|pard|tab|line|q[lrcj]|super|sub|nosupersub|caps|scaps)"
)
"""Control words that are not destinations: `\\*` before them has no meaning."""
_BREAKS = {"par", "line", "tab", "cell", "nestcell", "row", "sect", "page"}
_TABLES = {"fonttbl", "colortbl", "stylesheet", "info", "listtable", "listoverridetable", "pict"}


@dataclass(frozen=True)
class _Format:
    font: str = ""
    is_raised: bool = False
    fallback: int = 1
    """How many characters after a Unicode character are there for programs that cannot show it."""
    is_table: bool = False


def with_plain_signs(source: str) -> str:
    """Returns the RTF with raised and symbolic text as Unicode characters, and without a `\\*` that means nothing."""
    return _Signs(source).rewritten()


class _Signs:
    def __init__(self, source: str) -> None:
        self.source = _SYMBOL_FIELD.sub(_symbol_field, source)
        self.fonts = dict(_FONT_NAMES.findall(font_table_group(self.source)))  # type: ignore[no-untyped-call]
        self.format = _Format()
        self.stack: list[_Format] = []
        self.pieces: list[str] = []
        self.raised: list[str] = []
        self.skipped = 0

    def rewritten(self) -> str:
        before = ""
        for token in _TOKENS.finditer(self.source):
            kind = token.lastgroup
            if token["word"]:
                self._word(token[0], token["word"], int(token["number"] or 0), has_number=bool(token["number"]))
            elif token["brace"]:
                self._brace(token[0])
            elif kind == "hex":
                self._text(token[0], bytes.fromhex(token["hex"]).decode("latin-1"))
            elif token["sign"] == "*" and not self._starts_destination(token, before):
                continue
            elif kind == "text" and not token[0].isspace():
                self._text(token[0], token[0].replace("\r", "").replace("\n", ""))
            else:
                self._keep(token[0])
            before = token[0] if not token[0].isspace() else before
        self._end_raised()
        return "".join(self.pieces)

    def _starts_destination(self, token: re.Match[str], before: str) -> bool:
        following = _TOKENS.match(self.source, token.end())
        word = following["word"] if following else None
        return before == "{" and (word is None or not _PROPERTIES.fullmatch(word) or self.format.is_table)

    def _word(self, token: str, word: str, number: int, *, has_number: bool) -> None:
        if word == "u" and has_number:
            self._unicode(number + 0x10000 if number < 0 else number)
            return
        self.skipped = 0
        changed = self._changed(word, number, has_number=has_number)
        if changed.is_raised != self.format.is_raised or word in _BREAKS:
            self._end_raised()
        self.format = changed
        self._keep(token)

    def _changed(self, word: str, number: int, *, has_number: bool) -> _Format:
        if word in _TABLES:
            return replace(self.format, is_table=True)
        if word in {"super", "up"}:
            return replace(self.format, is_raised=number > 0 or not has_number)
        if word in {"nosupersub", "sub", "dn"}:
            return replace(self.format, is_raised=False)
        if word == "plain":
            return replace(self.format, is_raised=False, font="")
        if word == "f":
            return replace(self.format, font=self.fonts.get(str(number), ""))
        if word == "uc":
            return replace(self.format, fallback=number)
        return self.format

    def _brace(self, brace: str) -> None:
        self.skipped = 0
        if brace == "{":
            self.stack.append(self.format)
            self._keep(brace)
            return
        before = self.stack.pop() if self.stack else _Format()
        if before.is_raised != self.format.is_raised:
            self._end_raised()
        self._keep(brace)
        self.format = before

    def _unicode(self, code: int) -> None:
        character = symbols(chr(code), self._symbol_font()) if code <= 0x10FFFF else "\ufffd"
        if self.format.is_raised and not self.format.is_table:
            self.raised.append(character)
        else:
            self.pieces.append(_escaped(character, self.format.fallback, with_fallback=False))
        self.skipped = self.format.fallback

    def _text(self, token: str, text: str) -> None:
        if self.skipped:  # the characters in place of a Unicode character
            cut = min(self.skipped, len(text))
            self.skipped -= cut
            is_raised = self.format.is_raised and not self.format.is_table
            self.pieces.append("" if is_raised else token if cut == len(text) else text[:cut])
            token = text = text[cut:]
        if not text:
            return
        font = self._symbol_font()
        if self.format.is_table or not (font or self.format.is_raised):
            self.pieces.append(token)
            return
        if not (font or text.isascii()):  # raised letters of a code page, which striprtf knows
            self._end_raised()
            self.pieces.append(token)
            return
        text = symbols(text, font) if font else text
        if self.format.is_raised:
            self.raised.append(text)
        else:
            self.pieces.append("".join(_escaped(each, self.format.fallback) for each in text))

    def _symbol_font(self) -> str:
        return self.format.font if is_symbol_font(self.format.font) else ""

    def _end_raised(self) -> None:
        text = superscript("".join(self.raised))
        self.raised = []
        fallback = self.format.fallback
        self.pieces.append("".join(each if each.isascii() else _escaped(each, fallback) for each in text))

    def _keep(self, token: str) -> None:
        """Keeps a token that is not text. What was raised before it comes first."""
        if self.raised and token.strip() and not token.startswith("\\") and token not in {"{", "}"}:
            self._end_raised()
        self.pieces.append(token)


def _escaped(text: str, fallback: int, *, with_fallback: bool = True) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    codes = (int.from_bytes(units[place : place + 2], "little") for place in range(0, len(units), 2))
    return "".join(f"\\u{code}" + ("?" * fallback or " ") if with_fallback else f"\\u{code} " for code in codes)


def _symbol_field(field: re.Match[str]) -> str:
    """Returns the field after its sign, unless its result has the sign: striprtf skips the field's instruction."""
    if _FULL_RESULT.match(field.string, field.end()):
        return field[0]
    return "{" + _escaped(symbols(chr(int(field[1])), field[2] or "Symbol"), 1) + "}" + field[0]
