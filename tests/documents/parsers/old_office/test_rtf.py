import time
from pathlib import Path

import pytest

from documents.parsers.old_office.rtf import RtfParser
from tests.documents.parsers.parsing import parse

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


def test_rich_text(samples: Path) -> None:
    document = parse(samples / "cleaning.rtf")
    assert document.metadata == {"title": "Cleaning of lanterns"}
    assert "the café by the harbour" in document.pages[0]
    assert "12 € an hour" in document.pages[0]
    assert "Glass | after each hire\nWick | every ten hours" in document.pages[0]


@pytest.mark.parametrize(("machine", "letter"), [("ansi", "e9"), ("mac", "8e"), ("pc", "82"), ("pca", "82")])
def test_rich_text_names_its_encoding(tmp_path: Path, machine: str, letter: str) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(f"{{\\rtf1\\{machine} caf\\'{letter}}}")
    assert parse(path).pages == ["café"]


def test_rich_text_beside_the_text(tmp_path: Path) -> None:
    """Notes, comments, boxes and headers come after it, each once. Deleted text is left out."""
    path = tmp_path / "a.rtf"
    path.write_text(
        r"{\rtf1{\header\pard On lamps\par}\pard Trim{\footnote\pard Weekly, {\i if lit}.} the wick"
        r"{\*\annotation{\*\atndate 7}Who?}.\par{\pntext\f0 1.\tab}Brass{\deleted\revauthdel1  or {\b tin}} only\par"
        r"{\shp{\*\shpinst{\sp 1}{\shptxt Mind the glass}}}{\header\pard On lamps\par}The end \{0\}.\par}"
    )
    lines = parse(path).pages[0].split("\n")
    assert [line.strip() for line in lines if line] == [
        *("Trim the wick.", "1.\tBrass only", "The end {0}."),
        *("On lamps", "Weekly, if lit.", "Who?", "Mind the glass"),
    ]


def test_control_words_in_rich_text_take_linear_time(tmp_path: Path) -> None:
    """A naive pattern could match the blanks in ways that double with each control word."""
    path = tmp_path / "a.rtf"
    path.write_text(r"{\rtf1 {" + r"\b " * 100_000 + "bold}}")
    start = time.process_time()
    assert parse(path).pages == ["bold"]
    assert time.process_time() - start < 5


def test_rich_text_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text(r"{\rtf1 Trim {\b the} wick{\footnote Weekly")
    assert parse(path).pages == ["Trim the wickWeekly"]


def test_pictures_in_rich_text_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.rtf"
    path.write_text("{\\rtf1 before {\\pict\\pngblip\n" + "89504e47\n" * 500_000 + "} after}")
    assert parse(path).pages[0].split() == ["before", "after"]
