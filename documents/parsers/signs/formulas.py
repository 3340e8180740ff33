"""Formulas as one line of text: (a + b)/2, √(x), x^2, ∑_(i=1)^n. From Office (OMML) and from MathML.

OMML is the formula format of Word and PowerPoint. Web pages, books and OpenDocument have MathML.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from documents.parsers.file_structures.safe_xml import Element, attribute, local_name
from documents.parsers.signs.raised import superscript

MAX_DEPTH = 60
"""Deeper parts of a formula are read as plain text."""
PLAIN = "t"

_SIMPLE = re.compile(r"\d*(?:[.,]\d+)?|[^\W\d_]|[^\w\s]")
_TEX_COMMANDS = re.compile(r"\\(?:displaystyle|textstyle|scriptstyle|left|right|,|;|!|quad|qquad)(?![A-Za-z])")
_COMBINING = {"^": "\u0302", "˙": "\u0307", "¨": "\u0308", "~": "\u0303", "→": "\u20d7", "¯": "\u0305", "‾": "\u0305"}
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064"), None)
"""MathML's marks for a function's argument, a product and a list, which no reader sees."""


@dataclass
class Part:
    """An element of a formula: its name without namespace, its own text, its values and its children."""

    name: str
    text: str = ""
    values: dict[str, str] = field(default_factory=dict)
    children: list["Part"] = field(default_factory=list)

    def child(self, name: str) -> "Part":
        return next((child for child in self.children if child.name == name), Part(name))

    def value(self, name: str, default: str = "") -> str:
        """Returns the value `name` among the element's properties in OMML, such as `m:dPr/m:begChr`."""
        properties = self.child(f"{self.name}Pr")
        found = next((child for child in properties.children if child.name == name), None)
        return default if found is None else found.values.get("val", default)


def part_of(element: Element, depth: int = 0) -> Part:
    """Returns the formula of an lxml element."""
    values = {name: attribute(element, name) for name in ("val", "encoding", "open", "close", "separators")}
    part = Part(local_name(element), element.text or "", {name: value for name, value in values.items() if value})
    if depth > MAX_DEPTH:
        return Part(PLAIN, "".join(element.itertext()))
    part.children = [part_of(child, depth + 1) for child in element if local_name(child)]
    return part


class Formula(str):
    """The text of a formula, among the pieces of a paragraph."""


def formula_text(part: Part) -> Formula:
    """Returns the formula as a line of text."""
    return Formula(" ".join(_text(part).split()))


def joined(pieces: Iterable[str]) -> str:
    """Joins the pieces of a paragraph. A blank keeps a formula apart from the text beside it: 1 1/2."""
    parts: list[str] = []
    before = ""
    for piece in filter(None, pieces):
        is_beside_formula = isinstance(piece, Formula) or isinstance(before, Formula)
        parts += [" ", piece] if is_beside_formula and _runs_into(before, piece) else [piece]
        before = piece
    return "".join(parts)


def _runs_into(before: str, after: str) -> bool:
    """Whether the two would be read as one: a fraction or a power beside a letter or a digit."""
    if not before or not (before[-1].isalnum() and after[0].isalnum()):
        return False
    return bool(_ENDS_OPEN.search(before[-50:]) or _BEGINS_WITH_FRACTION.match(after))


_BEGINS_WITH_FRACTION = re.compile(r"[^\W_]+(?:[.,]\d+)?/")
_ENDS_OPEN = re.compile(r"[/^_][^\W_]+(?:[.,]\d+)?\Z")


def tex_text(source: str) -> str:
    """Returns a formula in TeX, the text of a picture in a web page, without what only its looks need."""
    text = " ".join(_TEX_COMMANDS.sub("", source).split())
    while _is_within(text, "{", "}"):
        text = text[1:-1].strip()
    return text


def _is_within(text: str, left: str, right: str) -> bool:
    """Whether the bracket that begins the text ends with it: true for (a+b), false for (a)(b)."""
    depth = 0
    for place, character in enumerate(text if text.startswith(left) else ""):
        depth += (character == left) - (character == right)
        if depth == 0:
            return place == len(text) - 1
    return False


def _text(part: Part) -> str:
    write = _WRITERS.get(part.name)
    return write(part) if write else _row(part)


def _row(part: Part) -> str:
    own = part.text.strip() if part.children else part.text
    pieces = [Formula(own)]
    for before, child in zip([None, *part.children], part.children, strict=False):
        text = _text(child)
        if before and before.name == child.name == "mi" and max(len(pieces[-1]), len(text)) > 1:
            pieces.append(Formula(" "))  # words, such as sin x
        pieces.append(Formula(text))
    return joined(pieces)


def _inner(part: Part) -> str:
    return _row(part).strip()


def _grouped(text: str) -> str:
    """Returns the text in parentheses, unless it is one number or word, or has parentheses around it."""
    text = text.strip()
    if _SIMPLE.fullmatch(text) or _is_within(text, "(", ")"):
        return text
    return f"({text})"


def _over(top: str, bottom: str) -> str:
    return f"{_grouped(top)}/{_grouped(bottom)}"


def _scripts(base: str, low: str, high: str) -> str:
    text = base.strip() if _SIMPLE.fullmatch(base.strip()) or not (low or high) else _base(base)
    text += f"_{_grouped(low)}" if low.strip() else ""
    return text + (f"^{_grouped(high)}" if high.strip() else "")


def _base(base: str) -> str:
    """Returns what a power belongs to: `(a+b)`, but not `sin x` in parentheses when it only has a sign around it."""
    text = base.strip()
    is_closed = text.endswith((")", "]", "}", "|")) or "_" in text or "^" in text
    return text if is_closed else _grouped(text)


def _root(inner: str, degree: str = "") -> str:
    degree = degree.strip()
    sign = f" {superscript(degree)}√" if degree and degree != "2" else "√"
    return f"{sign}({inner.strip()})"


# OMML: the names are those of ISO/IEC 29500-1, 22.1.


def _omml_fraction(part: Part) -> str:
    return _over(_inner(part.child("num")), _inner(part.child("den")))


def _omml_scripts(part: Part) -> str:
    return _scripts(_inner(part.child("e")), _inner(part.child("sub")), _inner(part.child("sup")))


def _omml_prescripts(part: Part) -> str:
    return _scripts("", _inner(part.child("sub")), _inner(part.child("sup"))) + _inner(part.child("e"))


def _omml_root(part: Part) -> str:
    return _root(_inner(part.child("e")), _inner(part.child("deg")))


def _omml_sum(part: Part) -> str:
    sign = part.value("chr", "∫")
    return f"{_scripts(sign, _inner(part.child('sub')), _inner(part.child('sup')))} {_inner(part.child('e'))}"


def _omml_brackets(part: Part) -> str:
    left, right, between = part.value("begChr", "("), part.value("endChr", ")"), part.value("sepChr", "|")
    inner = between.join(_unbracketed(child) for child in part.children if child.name == "e")
    return f"{left}{inner}{right}"


def _unbracketed(part: Part) -> str:
    """Returns the text of a part between brackets. A matrix gets no brackets of its own there."""
    children = [child for child in part.children if child.name not in {"ctrlPr", "argPr"}]
    if len(children) == 1 and children[0].name == "m":
        return _omml_rows(children[0])
    return _inner(part)


def _omml_rows(part: Part) -> str:
    rows = (row for row in part.children if row.name == "mr")
    return "; ".join(", ".join(_inner(cell) for cell in row.children if cell.name == "e") for row in rows)


def _omml_matrix(part: Part) -> str:
    return f"[{_omml_rows(part)}]"


def _omml_lines(part: Part) -> str:
    return "; ".join(_inner(child) for child in part.children if child.name == "e")


def _omml_function(part: Part) -> str:
    return f"{_inner(part.child('fName'))} {_inner(part.child('e'))}"


def _omml_limit(part: Part) -> str:
    limit = _inner(part.child("lim"))
    base = _inner(part.child("e"))
    return _scripts(base, limit, "") if part.name == "limLow" else _scripts(base, "", limit)


def _omml_accent(part: Part) -> str:
    sign = part.value("chr", "\u0302")
    return _accented(_inner(part.child("e")), sign)


def _accented(base: str, sign: str) -> str:
    sign = _COMBINING.get(sign, sign)
    return base + sign if len(base) == 1 else f"{_grouped(base)}{sign}"


def _omml_bar(part: Part) -> str:
    return _accented(_inner(part.child("e")), "\u0305")


def _nothing(part: Part) -> str:
    return ""


# MathML: the names are those of MathML 3, chapters 3 and 5.


def _nth(part: Part, number: int) -> str:
    return _text(part.children[number]).strip() if number < len(part.children) else ""


def _mathml_token(part: Part) -> str:
    return " ".join(_row(part).translate(_INVISIBLE).split())


def _mathml_operator(part: Part) -> str:
    sign = _mathml_token(part)
    return f" {sign} " if sign in {"=", "≠", "≤", "≥", "<", ">", "≈", "→", "⇒", "∈", "≡"} else sign


def _mathml_text(part: Part) -> str:
    return _row(part).replace("\N{NO-BREAK SPACE}", " ")


def _mathml_fenced(part: Part) -> str:
    between = part.values.get("separators", ",").strip()[:1]
    inner = f"{between} ".join(map(_text, part.children))
    return f"{part.values.get('open', '(')}{inner}{part.values.get('close', ')')}"


def _mathml_over(part: Part) -> str:
    sign = _nth(part, 1)
    if sign in _COMBINING or (len(sign) == 1 and "\u0300" <= sign <= "\u036f"):
        return _accented(_nth(part, 0), sign)
    return _scripts(_nth(part, 0), "", sign)


def _mathml_table(part: Part) -> str:
    rows = [row for row in part.children if row.name in {"mtr", "mlabeledtr"}]
    return "[" + "; ".join(", ".join(_text(cell).strip() for cell in row.children) for row in rows) + "]"


def _mathml_prescripts(part: Part) -> str:
    """Returns `mmultiscripts`: the base, its scripts in pairs, and after `mprescripts` those before it."""
    names = [child.name for child in part.children]
    middle = names.index("mprescripts") if "mprescripts" in names else len(names)
    after, before = range(1, middle - 1, 2), range(middle + 1, len(names) - 1, 2)
    text = "".join(_scripts("", _nth(part, place), _nth(part, place + 1)) for place in before) + _nth(part, 0)
    return text + "".join(_scripts("", _nth(part, place), _nth(part, place + 1)) for place in after)


def _mathml_semantics(part: Part) -> str:
    """Returns the first reading of a formula. The others are the same formula in TeX, or for programs."""
    return _text(part.children[0]) if part.children else part.text


_WRITERS: dict[str, Callable[[Part], str]] = {
    "f": _omml_fraction,
    "sSub": _omml_scripts,
    "sSup": _omml_scripts,
    "sSubSup": _omml_scripts,
    "sPre": _omml_prescripts,
    "rad": _omml_root,
    "nary": _omml_sum,
    "d": _omml_brackets,
    "m": _omml_matrix,
    "eqArr": _omml_lines,
    "func": _omml_function,
    "limLow": _omml_limit,
    "limUpp": _omml_limit,
    "acc": _omml_accent,
    "bar": _omml_bar,
    **dict.fromkeys(("rPr", "ctrlPr", "oMathParaPr", "instrText", "delText", "del", "moveFrom"), _nothing),
    **dict.fromkeys(("boxPr", "borderBoxPr", "groupChrPr", "phantPr", "argPr"), _nothing),
    "mi": _mathml_token,
    "mn": _mathml_token,
    "mo": _mathml_operator,
    "ms": _mathml_text,
    "mtext": _mathml_text,
    "mfrac": lambda part: _over(_nth(part, 0), _nth(part, 1)),
    "msup": lambda part: _scripts(_nth(part, 0), "", _nth(part, 1)),
    "msub": lambda part: _scripts(_nth(part, 0), _nth(part, 1), ""),
    "msubsup": lambda part: _scripts(_nth(part, 0), _nth(part, 1), _nth(part, 2)),
    "munder": lambda part: _scripts(_nth(part, 0), _nth(part, 1), ""),
    "mover": _mathml_over,
    "munderover": lambda part: _scripts(_nth(part, 0), _nth(part, 1), _nth(part, 2)),
    "msqrt": lambda part: _root(_inner(part)),
    "mroot": lambda part: _root(_nth(part, 0), _nth(part, 1)),
    "mfenced": _mathml_fenced,
    "mtable": _mathml_table,
    "mmultiscripts": _mathml_prescripts,
    "semantics": _mathml_semantics,
    **dict.fromkeys(("annotation", "annotation-xml", "mspace", "mphantom", "none", "mprescripts"), _nothing),
}
