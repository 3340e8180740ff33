from pathlib import Path

import pytest

from documents.errors import WrongType
from documents.parsers.decoding import decode, encoding_of, read_text

GERMAN = "Die Prüfung der Größe ergab: zu groß für den Käufer, höchstens fünf Stück übrig. "
POLISH = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni. "
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом. "
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
ENGLISH = "All human beings are born free and equal in dignity and rights. They are endowed with reason. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "utf-8"),
        (GERMAN, "utf-8-sig"),
        (GERMAN, "utf-16"),
        (ENGLISH, "utf-16-le"),
        (ENGLISH, "utf-16-be"),
        (ENGLISH, "utf-32"),
        (ENGLISH, "utf-32-be"),
        (ENGLISH * 5, "cp037"),
        (GERMAN, "cp1252"),
        (GERMAN * 20, "cp1252"),
        (POLISH * 20, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN * 20, "koi8_r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "iso2022_jp"),
    ],
)
def test_text_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_damaged_character_does_not_change_the_encoding() -> None:
    assert encoding_of((GERMAN * 5).encode() + b"\xff") == "utf-8"


@pytest.mark.parametrize("data", [bytes(range(256)) * 20, b"\x00\x01\x02\x03" * 500])
def test_junk_is_no_text(data: bytes) -> None:
    assert decode(data) is None


def test_line_ends_become_newlines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\rthree\n")
    assert read_text(path) == "one\ntwo\nthree\n"


def test_a_file_of_junk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(WrongType):
        read_text(path)
