"""Fonts that draw signs in the place of letters, such as Symbol and Wingdings: which characters their signs are.

Office stores such a sign as a letter in that font, or as a character from U+F020 to U+F0FF. Without the font it means
nothing: "10 µg" would be read as "10 g".
"""

_PRIVATE = 0xF000
_FIRST, _LAST = 0x20, 0xFF

# fmt: off
_SYMBOL = (
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλµνοπθρστυϖωξψζ{|}∼"
    + "\0" * 33 +
    "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪"
    "\0〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭\0"
)
"""Adobe's encoding of Symbol, from 0x20 on."""

_WINGDINGS = {
    0x20: " ", 0x21: "✏", 0x22: "✂", 0x23: "✁", 0x28: "☎", 0x2A: "✉", 0x36: "⌛", 0x37: "⌨", 0x3E: "✇", 0x3F: "✍",
    0x41: "✌", 0x45: "☜", 0x46: "☞", 0x47: "☝", 0x48: "☟", 0x4A: "☺", 0x4C: "☹", 0x4E: "☠", 0x51: "✈", 0x52: "☼",
    0x54: "❄", 0x58: "✠", 0x59: "✡", 0x5A: "☪", 0x5B: "☯", 0x6A: "&", 0x6C: "●", 0x6D: "❍", 0x6E: "■", 0x6F: "□",
    0x71: "❑", 0x72: "❒", 0x73: "⬧", 0x74: "⧫", 0x75: "◆", 0x76: "❖", 0x77: "⬥", 0x78: "☒", 0x7B: "❀", 0x7C: "✿",
    0x7D: "❝", 0x7E: "❞", 0x80: "⓪",
    **{0x81 + place: sign for place, sign in enumerate("①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿")},
    0x9E: "·", 0x9F: "•", 0xA1: "○", 0xA2: "⭕", 0xA4: "◉", 0xA5: "◎", 0xA7: "▪", 0xA8: "☐", 0xAA: "✦", 0xAB: "★",
    0xAC: "✶", 0xAD: "✴", 0xAE: "✹", 0xAF: "✵", 0xB2: "⟡", 0xB4: "⍰", 0xB5: "✪", 0xB6: "✰", 0xC3: "↶", 0xC4: "↷",
    0xD5: "⌫", 0xD6: "⌦", 0xD8: "➢", 0xDC: "➲", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE3: "↖", 0xE4: "↗",
    0xE5: "↙", 0xE6: "↘", 0xE7: "←", 0xE8: "→", 0xE9: "↑", 0xEA: "↓", 0xEB: "↖", 0xEC: "↗", 0xED: "↙", 0xEE: "↘",
    0xEF: "⇦", 0xF0: "⇨", 0xF1: "⇧", 0xF2: "⇩", 0xF3: "⬄", 0xF4: "⇳", 0xF9: "▭", 0xFA: "▫", 0xFB: "✗", 0xFC: "✓",
    0xFD: "☒", 0xFE: "☑",
}
_WINGDINGS_2 = {
    0x20: " ", 0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x55: "⮾", 0x56: "⮿", 0x96: "●",
    0x97: "●", 0x98: "●", 0x99: "○", 0x9F: "■", 0xA0: "■", 0xA1: "■", 0xA2: "■", 0xA3: "☐", 0xA4: "☐",
    0xEA: "★", 0xF5: "※",
}
_WINGDINGS_3 = {
    0x20: " ", 0x21: "→", 0x22: "↑", 0x23: "↓", 0x66: "←", 0x67: "→", 0x68: "↑", 0x69: "↓", 0x6A: "↖", 0x6B: "↗",
    0x6C: "↘", 0x6D: "↙", 0x70: "▲", 0x71: "▼", 0x72: "△", 0x73: "▽", 0x74: "◀", 0x75: "▶", 0x76: "◁", 0x77: "▷",
    0x7C: "◂", 0x7D: "▸", 0x80: "▴", 0x81: "▾",
}
_WEBDINGS = {
    0x20: " ", 0x31: "☐", 0x33: "◀", 0x34: "▶", 0x35: "▲", 0x36: "▼", 0x3D: "●", 0x59: "♥", 0x61: "✓", 0x63: "□",
    0x67: "■", 0x69: "ℹ", 0x6E: "●", 0x72: "✗", 0x73: "?", 0x78: "☒", 0x79: "⊘", 0xC2: "☎", 0xFC: "✓",
}
# fmt: on

_FONTS: dict[str, dict[int, str]] = {
    "symbol": {place: sign for place, sign in enumerate(_SYMBOL, start=_FIRST) if sign != "\0"},
    "wingdings": _WINGDINGS,
    "wingdings 2": _WINGDINGS_2,
    "wingdings 3": _WINGDINGS_3,
    "webdings": _WEBDINGS,
}
UNKNOWN = "\ufffd"
"""Replaces a sign that has no character here, so that a reader sees that something is missing."""


def is_symbol_font(font: str) -> bool:
    return font.strip().lower() in _FONTS


def symbols(text: str, font: str = "") -> str:
    """Returns the text with the signs of such a font as their characters.

    Without a font, only the private characters are replaced, by the signs of Symbol. Other fonts have their own signs.
    """
    name = font.strip().lower()
    if name and name not in _FONTS:
        return text
    if not name and not any(_PRIVATE + _FIRST <= ord(character) <= _PRIVATE + _LAST for character in text):
        return text
    signs = _FONTS[name or "symbol"]
    return "".join(_sign(_place(ord(character), name), character, signs) for character in text)


def _place(code: int, font: str) -> int:
    """Returns the place of a sign in its font. A letter is a sign only if its font is known."""
    if code >= _PRIVATE:
        return code - _PRIVATE
    return code if font else 0


def _sign(place: int, character: str, signs: dict[int, str]) -> str:
    if not _FIRST <= place <= _LAST:
        return character
    return signs.get(place, UNKNOWN)
