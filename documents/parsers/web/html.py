"""Web pages: the text that a reader sees, without scripts, styles and navigation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from documents.errors import TooComplex
from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.decoding import declared_in, decode, read_text
from documents.parsers.web.html_formulas import (
    LEVEL,
    RAISED,
    formula_of,
    formula_picture,
    hidden_formula,
    is_formula,
    is_raised,
    signs_of,
    with_raised,
)
from documents.parsers.web.html_layout import Prefixes, column_marks, is_called_menu, is_made_of_links, item_numbers

MAX_DEPTH = 5_000
"""The parser takes quadratic time in the depth: 0.03 s for this depth, minutes for 200,000."""
MAX_ANALYZED = 10
"""How many nested tables and menus are analyzed, which reads everything inside each. Deeper ones are plain text."""
MAX_PAIRS = 1_000_000_000
"""Limit for pairs of attributes of one tag. The parser compares each pair: this many take 2 seconds."""
FEW_CHARACTERS = 100_000
"""A shorter page cannot have so many attributes."""

_SKIPPED = {
    "head", "iframe", "nav", "noscript", "object", "rp", "rt", "script", "style", "svg", "template",
}  # fmt: skip
_NOTES = {"endnote", "footnote", "note", "rearnote", "doc-endnote", "doc-footnote"}
"""Notes in books, which are hidden until the reader opens them."""
_SKIPPED_ROLES = {"dialog", "menu", "menubar", "navigation", "search"}
_PARAGRAPH, _LINE, _ROW, _CELL, _KEEP = "\n", "\v", "\r", "\t", "\0"
"""Marks for the borders of blocks, and for lines whose indentation counts. `_tidied` replaces them."""

# fmt: off
_LINES = {"address", "br", "dd", "div", "dt", "figcaption", "legend", "li", "option", "summary", "textarea"}
_PARAGRAPHS = {
    "article", "aside", "blockquote", "caption", "center", "details", "dir", "dl", "fieldset", "figure", "footer",
    "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "main", "menu", "ol", "p", "pre",
    "section", "table", "ul",
}
_UNNESTED = {
    "area", "base", "br", "col", "colgroup", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
}
# fmt: on
_BREAKS = {
    **dict.fromkeys(_LINES, (_LINE, _LINE)),
    **dict.fromkeys(_PARAGRAPHS, (_PARAGRAPH, _PARAGRAPH)),
    "tr": (_ROW, _ROW),
}
"""The marks before and after the text of an element."""
_SOFT_HYPHEN = "\xad"
MAX_CELL = 300
"""With longer cells, a table is the layout of a page."""

_DECLARES = re.compile(
    rb"<(?:meta\s[^>]{0,200}?charset|\?xml\s[^>]{0,100}?encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE
)
"""Finds the encoding that a page names."""
_BLANKS = re.compile(r"\s+")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+"""
_ATTRIBUTES = re.compile(
    rf"<!--.*?(?:-->|\Z)|<(?:(script|style)\b|[a-z])[^\s/>]*+((?:{_ATTRIBUTE})*+)(?(1).*?(?:</\1\b|\Z))",
    re.IGNORECASE | re.DOTALL,
)
"""Finds the attributes of each tag, as the second group. Skips scripts and comments."""


class HtmlParser:
    formats = ("html",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        page = read_html(read_text(path, _DECLARES))
        report(1, 1)
        return ParsedDocument([page.text], {"title": page.title} if page.title else {})


@dataclass(frozen=True)
class WebPage:
    text: str
    title: str = ""


def read_page(data: bytes, charset: str = "") -> WebPage:
    """Reads a page in the encoding that a mail names, or the page itself, or that its bytes suggest."""
    return read_html(decode(data, charset or declared_in(data, _DECLARES)) or "")


def read_html(source: str) -> WebPage:
    """Returns what a reader sees of the page. Raises TooComplex."""
    _check_depth(source)
    _check_attributes(source)
    try:
        tree = LexborHTMLParser(source)
        title = tree.css_first("title")
        text = _tidied("".join(_pieces(tree.body))) if tree.body is not None else ""
    except SelectolaxError as error:  # out of memory, for it parses no selector but ours
        raise TooComplex() from error
    return WebPage(text, " ".join(title.text().split()) if title is not None else "")


def _check_depth(source: str) -> None:
    """Raises TooComplex if elements are nested deeper than on any ordinary page."""
    depth = 0
    for slash, tag in _TAG.findall(source):
        if tag.lower() not in _UNNESTED:
            depth = max(0, depth - 1) if slash else depth + 1
        if depth > MAX_DEPTH:
            raise TooComplex("The page's elements are nested too deeply: print it to PDF and upload that.")


def _check_attributes(source: str) -> None:
    """Raises TooComplex if tags have more attributes than the parser can compare in a few seconds."""
    if len(source) < FEW_CHARACTERS:
        return
    listed = (match[2] or "" for match in _ATTRIBUTES.finditer(source))
    if sum(len(re.findall(_ATTRIBUTE, tag)) ** 2 for tag in listed if tag) > MAX_PAIRS:
        raise TooComplex("The page has tags with too many attributes: print it to PDF and upload that.")


def _pieces(root: LexborNode) -> Iterator[str]:
    """Yields the texts below `root` in order, with marks."""
    return _Walk(root).pieces()


class _Walk:
    """A walk through a page. No recursion, because the file chooses the depth."""

    def __init__(self, root: LexborNode) -> None:
        self.stack: list[LexborNode | str | None] = [*reversed([*root.iter(include_text=True)])]
        self.before: Prefixes = {}
        self.analyzed = 0
        self.has_formula = False
        """Whether there was a formula since the last text. Then a picture shows the same formula."""

    def pieces(self) -> Iterator[str]:
        while self.stack:
            item = self.stack.pop()
            if item is None:  # the end of a table or menu
                self.analyzed -= 1
            elif isinstance(item, str):
                yield item
            elif item.is_text_node:
                text = " ".join(_BLANKS.split(item.text_content or ""))
                self.has_formula &= not text.strip()
                yield text
            elif item.is_element_node and item.tag not in _SKIPPED:
                yield from self._element(item)

    def _element(self, item: LexborNode) -> Iterator[str]:
        """Yields the text of an element whose text is known without its content, or puts its content on the stack."""
        if is_formula(item):
            self.has_formula = True
            yield formula_of(item)
        elif item.tag == "img":
            yield "" if self.has_formula else formula_picture(item)
        elif _is_unseen(item):
            self.stack += hidden_formula(item)
        elif (signs := signs_of(item)) is not None:
            yield signs
        else:
            self._open(item)

    def _open(self, item: LexborNode) -> None:
        start, end = (RAISED, LEVEL) if is_raised(item) else _BREAKS.get(item.tag or "", ("", ""))
        inside: list[LexborNode | str]
        inside = [_preformatted(item)] if item.tag == "pre" else [*item.iter(include_text=True)]
        is_called = is_called_menu(item)
        if is_called or item.tag == "table":
            self.analyzed += 1
            self.stack.append(None)
            if self.analyzed <= MAX_ANALYZED and is_called and is_made_of_links(item):
                return
            if self.analyzed <= MAX_ANALYZED and item.tag == "table":
                self.before |= column_marks(item, _CELL)
        if item.tag == "ol":
            self.before |= item_numbers(item)
        self.stack += [end, *reversed(inside), start + self.before.get(item.mem_id, "")]


def _is_unseen(node: LexborNode) -> bool:
    """Whether the element is hidden or has a role such as navigation."""
    attributes = node.attributes
    if not attributes:
        return False
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return (
        ("hidden" in attributes and not _NOTES & {attributes.get("epub:type"), attributes.get("role")})
        or attributes.get("aria-hidden") == "true"
        or (attributes.get("role") or "").lower() in _SKIPPED_ROLES
        or "display:none" in style
        or "visibility:hidden" in style
    )


def _preformatted(node: LexborNode) -> str:
    return _KEEP + node.text().expandtabs().replace("\n", _LINE + _KEEP)


def _tidied(text: str) -> str:
    """Turns the marks into bars between cells, line ends, and empty lines between paragraphs."""
    rows = _LINE.join(map(_row_text, with_raised(text).split(_ROW)))
    paragraphs = filter(None, map(_paragraph_text, rows.split(_PARAGRAPH)))
    return "\n\n".join(paragraphs).replace(_KEEP, "").replace(_SOFT_HYPHEN, "")


def _row_text(row: str) -> str:
    if _CELL not in row:
        return row
    cells = [cell.strip() for cell in row.split(_CELL)]
    filled = list(filter(None, cells))
    if len(filled) < 2 or max(map(len, filled)) > MAX_CELL:
        return _PARAGRAPH.join(filled)
    return CELL_SEPARATOR.join(" ".join(cell.split()) for cell in cells[0 if cells[0] else 1 :])


def _paragraph_text(paragraph: str) -> str:
    lines = (line.rstrip() if line.startswith(_KEEP) else line.strip() for line in paragraph.split(_LINE))
    return "\n".join(filter(None, lines))


register(HtmlParser())
