"""PDF fonts without a table of letters."""

from collections.abc import Callable
from pathlib import Path

import pytest

from documents.errors import NeedsOcr
from documents.parsers import ParsedDocument
from documents.parsers.pdf.cipher import are_alike, deciphered, has_names, is_unlike_text, reads_like_text
from documents.parsers.pdf.parser import PdfParser
from tests.documents.parsers.pdf.pdf_files import pdf_file, stream

PROSE = (
    "The inspection of the pump showed that the valve was worn and had to be replaced before the next delivery to the"
    " harbour, although nobody had complained about it"
)
GERMAN = "Die Prüfung der Pumpe ergab, dass das Ventil verschlissen war und vor der nächsten Lieferung ersetzt wurde"
CODES = (*range(0x20, 0x7F), *range(0x0B, 0x20))


def _pdf(folder: Path, content: bytes, names: Callable[[int], str], *pages: bytes) -> Path:
    """A PDF whose first page has a font of shapes (Type 3) with these names, and whose other pages have Helvetica."""
    shapes = " ".join(f"/{names(code)} 6 0 R" for code in range(1, 255))
    encoding = " ".join(f"/{names(code)}" for code in range(1, 255))
    contents = [content, *pages]
    kids = " ".join(f"{10 + 2 * place} 0 R" for place in range(len(contents)))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: f"<</Type/Pages/Kids[{kids}]/Count {len(contents)}>>".encode(),
        4: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        5: (
            "<</Type/Font/Subtype/Type3/FontBBox[0 0 10 10]/FontMatrix[.1 0 0 .1 0 0]/FirstChar 1/LastChar 254/Widths["
            f"{'6 ' * 254}]/CharProcs<<{shapes}>>/Encoding<</Differences[1 {encoding}]>>/Resources<<>>>>"
        ).encode(),
        6: stream(b"6 0 0 0 5 7 d1 0 0 5 7 re f"),
    }
    for place, drawn in enumerate(contents):
        page, contents_of, font = 10 + 2 * place, 11 + 2 * place, 4 if place else 5
        objects[page] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 2000 400]/Contents {contents_of} 0 R"
            f"/Resources<</Font<</F1 {font} 0 R>>>>>>"
        ).encode()
        objects[contents_of] = stream(b"BT /F1 12 Tf 50 350 Td (" + drawn + b") Tj ET")
    path = folder / "a.pdf"
    path.write_bytes(pdf_file(objects))
    return path


def _read(path: Path) -> ParsedDocument:
    return PdfParser().parse(path, lambda done, total: None)


def _shifted(text: str, shift: int) -> bytes:
    """The letters' numbers, less by `shift`, as octal escapes."""
    return "".join(f"\\{ord(letter) - shift:03o}" for letter in text).encode()


@pytest.mark.parametrize("name", ["G%02X", "g%d", "C%d", "c%02x", "a%d", "cid%d", "glyph%d"])
def test_names_with_the_numbers_of_letters(tmp_path: Path, name: str) -> None:
    document = _read(_pdf(tmp_path, _shifted(PROSE, 0), lambda code: name % code))
    assert document.pages == [PROSE]
    assert document.warnings == []


@pytest.mark.parametrize("name", ["G%02X", "g%d", "C%d"])
@pytest.mark.parametrize("shift", [5, 29])
def test_names_with_the_numbers_of_letters_at_other_places(tmp_path: Path, name: str, shift: int) -> None:
    document = _read(_pdf(tmp_path, _shifted(PROSE, shift), lambda code: name % (code + shift)))
    assert " ".join(document.pages[0].split()) == PROSE


@pytest.mark.parametrize("shift", [1, 29, 31])
def test_shifted_letters(tmp_path: Path, shift: int) -> None:
    document = _read(_pdf(tmp_path, _shifted(PROSE, shift), lambda code: f"x{code}"))
    assert " ".join(document.pages[0].split()) == PROSE
    assert "1 of 1 pages: from a font without a table of letters, and guessed" in document.warnings[0]


def _mixed(text: str) -> bytes:
    """Each letter replaced by another one, without a rule."""
    letters = sorted(set(text))
    return "".join(f"\\{0x21 + letters.index(letter) * 7 % 90:03o}" for letter in text).encode()


@pytest.mark.parametrize("name", ["G%02X", "g%d", "C%d", "cid%d", "x%d"])
def test_letters_that_nobody_can_know_need_ocr(tmp_path: Path, name: str) -> None:
    with pytest.raises(NeedsOcr, match="lack the table of letters"):
        _read(_pdf(tmp_path, _mixed(PROSE), lambda code: name % (code * 7 % 251)))


def test_such_pages_among_others_are_named(tmp_path: Path) -> None:
    path = _pdf(tmp_path, _mixed(PROSE), lambda code: f"g{code * 7 % 251}", PROSE.encode(), PROSE.encode())
    document = _read(path)
    assert document.warnings == ["1 of 3 pages: garbled, which needs text recognition (OCR) (1)."]
    assert document.needs_ocr == 1


@pytest.mark.parametrize(
    "junk", ["(cid:12)(cid:7)(cid:33)(cid:120) (cid:9)", "/g18/g152/g3 /g7/g99", "/G11/G0F/G9A/GF0"]
)
def test_junk_that_another_program_has_written_as_text(tmp_path: Path, junk: str) -> None:
    escaped = (junk * 20).replace("(", "\\(").replace(")", "\\)").encode()
    with pytest.raises(NeedsOcr):
        _read(_pdf(tmp_path, escaped, lambda code: "space", escaped, escaped, escaped))


def test_a_ligature_without_a_name(tmp_path: Path) -> None:
    words = PROSE.encode() + b". It was not e\\036cient for the o\\016ce, which is di\\007cult"
    document = _read(_pdf(tmp_path, words, lambda code: f"a{code}"))
    assert document.pages == [f"{PROSE}. It was not efficient for the office, which is difficult"]


def test_a_letter_that_stays_unknown_is_a_warning(tmp_path: Path) -> None:
    document = _read(_pdf(tmp_path, PROSE.encode() + b" by the Zuy\\007derzee", lambda code: f"a{code}"))
    assert document.pages == [f"{PROSE} by the Zuy\ufffdderzee"]
    assert document.warnings == [
        "1 of 1 pages: words that lack letters, because a font does not name them (shown as \ufffd) (1)."
    ]


@pytest.mark.parametrize("text", [PROSE, GERMAN, PROSE.upper(), "Invoice 4711, 10/02/2012, Page 12", "説明書について"])
def test_texts(text: str) -> None:
    assert reads_like_text(text)
    assert deciphered(text) is None


@pytest.mark.parametrize(
    "text", ["6LU ZKDW LV WKH SULFH RI WKH ERRN", "'(6&5,37,21", "ɍɝɥɨɜɚɹ ɲɥɢɮɨɜɚɥɶɧɚɹ", "Ķ< Ķ<", ""]
)
def test_no_texts(text: str) -> None:
    assert not reads_like_text(text)


def _in_helvetica(folder: Path, *texts: str) -> ParsedDocument:
    return _read(_pdf(folder, PROSE.encode(), lambda code: f"a{code}", *(text.encode() for text in texts)))


def test_a_wrong_table_of_letters_shows_in_the_text(tmp_path: Path) -> None:
    caesar = "".join(chr((ord(each) - 97 + 3) % 26 + 97) if each.islower() else each for each in PROSE)
    document = _in_helvetica(tmp_path, PROSE, caesar, "XXXXXXXX " * 20, "qxd zzt 4711 " * 20)
    assert document.warnings == ["1 of 5 pages: garbled, which needs text recognition (OCR) (3)."]


@pytest.mark.parametrize("text", [PROSE, GERMAN, "Wydawnictwo przeszłość źródło szczęście " * 5, "", "4711 " * 50])
def test_texts_are_not_doubted(text: str) -> None:
    assert not is_unlike_text(text)


def test_paths_and_addresses_are_no_names_of_letters() -> None:
    assert not has_names("Copy /usr/local/lib/python3/site-packages to /v1/a2/b3/c4 and open https://a.example/b/c/d.")


def test_alike() -> None:
    assert are_alike("abc def", "a b\x03cfed")
    assert not are_alike("abc", "xyz")
