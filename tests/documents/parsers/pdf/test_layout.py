"""The order of a page's letters: columns, letters printed twice, letters set apart or below each other."""

import textwrap
from pathlib import Path

import pytest

from documents.parsers.pdf.layout import Piece, upright_order, without_doubled_words
from documents.parsers.pdf.parser import PdfParser
from tests.documents.parsers.pdf.pdf_files import pdf_file, stream

TEXTS = (
    "The quick survey of the harbour showed that most of the pumps had been replaced in the year before the storm,"
    " although nobody had written down when exactly this was done or who had paid for it in the end.",
    "Taxpayers who moved during the year must attach a statement which explains where they have lived and for how"
    " long, so that the office can find out which of the two rates applies to their income from rents.",
    "Pelicans are large water birds with a long beak and a throat pouch which they use for catching prey and draining"
    " water from the scooped contents before they swallow all of it without any further chewing.",
)
IDENTITY = (
    b"/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange"
    b" 1 beginbfrange <0000> <FFFF> <0000> endbfrange endcmap end"
)


def _page(folder: Path, drawn: str) -> str:
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R/F2 6 0 R>>>>>>",
        4: stream(f"BT {drawn} ET".encode()),
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        6: b"<</Type/Font/Subtype/Type0/BaseFont/Mincho/Encoding/Identity-H/DescendantFonts[7 0 R]/ToUnicode 8 0 R>>",
        7: b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Mincho/DW 1000/FontDescriptor 9 0 R"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>",
        8: stream(IDENTITY),
        9: b"<</Type/FontDescriptor/FontName/Mincho/Flags 4/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 800"
        b"/Descent -200/CapHeight 700/StemV 80>>",
    }
    path = folder / "a.pdf"
    path.write_bytes(pdf_file(objects))
    return PdfParser().parse(path, lambda done, total: None).pages[0]


def _at(x: float, y: float, text: str) -> str:
    return f"1 0 0 1 {x:.1f} {y:.1f} Tm ({text}) Tj"


def _columns(width: int, count: int) -> list[list[str]]:
    columns = [textwrap.wrap(f"{text} " * 2, width, break_on_hyphens=False) for text in TEXTS[:count]]
    return [column[: min(map(len, columns))] for column in columns]


def _words(columns: list[list[str]]) -> list[str]:
    return [word for column in columns for line in column for word in line.split()]


@pytest.mark.parametrize(("count", "width"), [(2, 50), (3, 30), (3, 24)])
@pytest.mark.parametrize("offset", [0, 1.3])
def test_columns_that_are_drawn_across_the_page(tmp_path: Path, count: int, width: int, offset: float) -> None:
    columns = _columns(width, count)
    drawn = [
        _at(40 + 520 / count * number, 700 - 12 * row - offset * number, column[row])
        for row in range(len(columns[0]))
        for number, column in enumerate(columns)
    ]
    page = _page(tmp_path, "/F1 9 Tf " + _at(40, 760, "A survey of taxpayers and pelicans") + " " + " ".join(drawn))
    assert page.split() == ["A", "survey", "of", "taxpayers", "and", "pelicans", *_words(columns)]


def test_a_word_that_is_cut_at_the_end_of_a_column_line(tmp_path: Path) -> None:
    columns = _columns(30, 3)
    columns[1][2:4] = ["the office explains its deci-", "sions in the following weeks"]
    drawn = [_at(40 + 173 * number, 700 - 12 * row, columns[number][row]) for row in range(10) for number in range(3)]
    assert "explains its decisions in" in " ".join(_page(tmp_path, "/F1 9 Tf " + " ".join(drawn)).split())


def test_columns_in_their_order_and_tables_stay(tmp_path: Path) -> None:
    columns = _columns(30, 3)
    drawn = [
        _at(40 + 173 * number, 700 - 12 * row, line) for number in range(3) for row, line in enumerate(columns[number])
    ]
    assert _page(tmp_path, "/F1 9 Tf " + " ".join(drawn)).split() == _words(columns)
    rows = [(f"Pump {row}", "spare part for the old valve of the pump", f"{row}.50 EUR for each") for row in range(12)]
    drawn = [
        _at(40 + 200 * number, 700 - 14 * row, cell)
        for row, cells in enumerate(rows)
        for number, cell in enumerate(cells)
    ]
    assert _page(tmp_path, "/F1 9 Tf " + " ".join(drawn)).splitlines() == [" ".join(row) for row in rows]


@pytest.mark.parametrize("apart", [0.3, 0.6, 1.0, 1.4])
def test_letters_printed_twice(tmp_path: Path, apart: float) -> None:
    widths = {"i": 222, "l": 222, "t": 278, "r": 333, "v": 500, " ": 278, "R": 722, "s": 500}
    x, drawn = 50.0, []
    for letter in "Riverton will ship skiis":
        drawn += [_at(x, 300, letter), _at(x + apart, 300, letter)] if letter != " " else []
        x += widths.get(letter, 556) * 0.014
    assert _page(tmp_path, "/F1 14 Tf " + " ".join(drawn)) == "Riverton will ship skiis"


@pytest.mark.parametrize("pitch", [9, 11])
def test_letters_set_far_apart(tmp_path: Path, pitch: float) -> None:
    drawn = [_at(50 + pitch * place, 300, letter) for place, letter in enumerate("Riverton harbour") if letter != " "]
    assert _page(tmp_path, "/F1 14 Tf " + " ".join(drawn)) == "Riverton harbour"


@pytest.mark.parametrize(
    ("text", "halved"),
    [
        ("RRiivveerrttoonn sshhiipp", "Riverton ship"),
        ("PPuummpp 12: a book", "Pump 12: a book"),
        ("Policy XXXXXXXX, ii, aabbccdd1", "Policy XXXXXXXX, ii, aabbccdd1"),
    ],
)
def test_doubled_words(text: str, halved: str) -> None:
    assert without_doubled_words(text) == halved


@pytest.mark.parametrize("is_reversed", [False, True])
def test_upright_columns_go_from_right_to_left(tmp_path: Path, is_reversed: bool) -> None:
    columns = ["第二条の会議は", "月曜日に開く。", "議長は市長とし"]
    drawn = [
        f"1 0 0 1 {500 - 24 * number} {350 - 16 * row} Tm <{ord(letter):04X}> Tj"
        for number, column in enumerate(columns)
        for row, letter in enumerate(column)
    ]
    if is_reversed:
        drawn = drawn[14:] + drawn[7:14] + drawn[:7]
    assert _page(tmp_path, "/F2 14 Tf " + " ".join(drawn)).splitlines() == columns


def test_an_upright_word() -> None:
    pieces = [Piece(letter, 50, 700 - 10 * row, 9) for row, letter in enumerate("PRINT")]
    assert upright_order(pieces) == [[0, 1, 2, 3, 4]]
    far_apart = [Piece(letter, 50, 700 - 40 * row, 9) for row, letter in enumerate("PRINT")]
    assert upright_order(far_apart) is None


@pytest.mark.parametrize("letters", ["12345", "ABCD", "•••••"])
def test_numbers_of_lines_and_of_answers_are_no_words(letters: str) -> None:
    assert upright_order([Piece(letter, 50, 700 - 10 * row, 9) for row, letter in enumerate(letters)]) is None
