from pathlib import Path

import pytest

from documents.parsers.rtf import RtfParser

FONTS = (
    r"{\fonttbl{\f0\fswiss Arial;}{\f3\froman\fcharset2\fprq2{\*\panose 05050102010706020507}Symbol;}"
    r"{\f4\fnil\fcharset2 Wingdings;}}"
)


def _text(folder: Path, body: str) -> str:
    path = folder / "a.rtf"
    path.write_text(rf"{{\rtf1\ansi\deff0{FONTS}{{\stylesheet{{\*\cs7 Tele;}}}}\uc1 {body}\par}}")
    return RtfParser().parse(path, lambda done, total: None).pages[0].strip()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"{\f0\*\cs7\fs24 The pelican sleeps} and wakes", "The pelican sleeps and wakes"),
        (r"{\f0 The \*\cs7 pelican} sleeps", "The pelican sleeps"),
        (r"{\*\cs7\fs24 The pelican} sleeps", "The pelican sleeps"),
        (r"{\*\nobodyknows hidden}The pelican", "The pelican"),
        (r"{ \*\nobodyknows{\b hidden}}The pelican", "The pelican"),
        (r"{\*\bkmkstart here}{\*\bkmkend here}The pelican", "The pelican"),
    ],
)
def test_ignored_words(tmp_path: Path, body: str, text: str) -> None:
    assert _text(tmp_path, body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"10 {\f3 m}g", "10 µg"),
        (r"10 \f3 m\f0 g", "10 µg"),
        (r"10 \f3 m\plain g", "10 µg"),
        (r"10 {\f3\'6d}g", "10 µg"),
        (r"10 {\f3\u-3987?}g", "10 µg"),
        (r"10 {\f3\u61549\'6d}g", "10 µg"),
        (r'10 {\field{\*\fldinst SYMBOL 109 \\f "Symbol" \\s 11}{\fldrslt\f3\fs22}}g', "10 µg"),
        (r'10 {\field{\*\fldinst {SYMBOL 109 \\f "Symbol"}}{\fldrslt{\f3\fs22 m}}}g', "10 µg"),
        (r"{\f3\'b7}\tab one", "•\tone"),
        (r"{\f4\'fc} done", "✓ done"),
        (r"{\f0 plain m}", "plain m"),
        (r"\u956?g", "μg"),
    ],
)
def test_symbol_fonts(tmp_path: Path, body: str, text: str) -> None:
    assert _text(tmp_path, body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"10{\super 6} cells", "10⁶ cells"),
        (r"10\super 6\nosupersub  cells", "10⁶ cells"),
        (r"10{\up6\fs16 6} cells", "10⁶ cells"),
        (r"10{\up6 6\up0  cells}", "10⁶ cells"),
        (r"10{\super\b 1}{\super 2} cells", "10¹² cells"),
        (r"10{\super \u8722?3} m", "10⁻³ m"),
        (r"2{\super x} or 2{\super n+1}", "2^x or 2^(n+1)"),
        (r"the 1{\super st} time", "the 1st time"),
        (r"revenue{\super 1}\par rises", "revenue¹\nrises"),
        (r"H{\sub 2}O and H\sub 2\nosupersub O", "H2O and H2O"),
        (r"caf{\super\'e9}", "café"),
    ],
)
def test_raised_text(tmp_path: Path, body: str, text: str) -> None:
    assert _text(tmp_path, body) == text
