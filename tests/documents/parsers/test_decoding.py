from pathlib import Path

import pytest

from documents.errors import WrongType
from documents.parsers.decoding import decode, encoding_of, read_text

GERMAN = "Die Prüfung der Größe ergab: zu groß für den Käufer, höchstens fünf Stück übrig. "
POLISH = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni. "
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом. "
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
CZECH = "Naše společnost, která již nemá žádné závazky, podepíše smlouvu příští týden; přílohy jsou její součástí. "
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison. "
HEBREW = "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון. "
ARABIC = "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا. "
CHINESE = "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. "
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
        (CZECH, "cp1250"),
        (CZECH, "iso8859_2"),
        (HEBREW, "cp1255"),
        (ARABIC, "cp1256"),
        (ARABIC, "iso8859_6"),
        (GERMAN, "mac_roman"),
        (FRENCH, "mac_roman"),
        (CHINESE, "gb18030"),
        (CHINESE, "utf-16-le"),
        (KOREAN, "euc_kr"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "iso2022_jp"),
    ],
)
def test_text_comes_back(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_damaged_character_does_not_change_the_encoding() -> None:
    assert encoding_of((GERMAN * 5).encode() + b"\xff") == "utf-8"


def test_a_text_that_was_padded() -> None:
    assert decode(GERMAN.encode() * 5 + bytes(30)) == GERMAN * 5 + "\0" * 30


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


@pytest.mark.parametrize(
    ("text", "encoding", "declared"),
    [
        ("短", "shift_jis", "Shift_JIS"),
        ("龍门", "gb18030", "gb2312"),  # a character that only the successor has
        ("größe", "utf-8", "iso-8859-1"),  # a lie
        ("Größe", "utf-8-sig", "windows-1251"),
        ("да", "koi8_r", "KOI8-R"),
        ("größe", "cp1252", "no-such-charset"),
        ("plain", "ascii", "utf-16"),
        ("größe", "cp1252", "utf-8"),
    ],
)
def test_a_declared_encoding_counts_unless_it_is_wrong(text: str, encoding: str, declared: str) -> None:
    assert decode(text.encode(encoding), declared) == text
