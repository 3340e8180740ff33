from pathlib import Path

import pytest

from documents.parsers.text_files.csv import CsvParser
from tests.documents.parsers.parsing import parse, parse_text


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (
            "Name, Vorname;Betrag in EUR, netto\nMeier, Anna;1,50\nBach, Bob;2,75\n",
            [["Name, Vorname", "Betrag in EUR, netto"], ["Meier, Anna", "1,50"], ["Bach, Bob", "2,75"]],
        ),
        ("Meier,Anna;1,50\nBach,Bob;2,75\n", [["Meier,Anna", "1,50"], ["Bach,Bob", "2,75"]]),
        ("1,5;2,5;3,5\n4,5;5,5;6,5\n", [["1,5", "2,5", "3,5"], ["4,5", "5,5", "6,5"]]),
        ("Meier, Anna\t1,50\nBach, Bob\t2,75\n", [["Meier, Anna", "1,50"], ["Bach, Bob", "2,75"]]),
        ("Meier, Anna|1,50\nBach, Bob|2,75\n", [["Meier, Anna", "1,50"], ["Bach, Bob", "2,75"]]),
        ("lamp,brass; old,3\nwick,cotton; new,4\n", [["lamp", "brass; old", "3"], ["wick", "cotton; new", "4"]]),
        ("a,b,c\n1,2,3\n", [["a", "b", "c"], ["1", "2", "3"]]),
        ("name, town\nAnna, Rome\n", [["name", " town"], ["Anna", " Rome"]]),
        ('"Meier, Anna";"1,50"\n"Bach; Bob";"2,75"\n', [["Meier, Anna", "1,50"], ["Bach; Bob", "2,75"]]),
        ("one column\nof text\n", [["one column"], ["of text"]]),
    ],
)
def test_the_delimiter(tmp_path: Path, content: str, rows: list[list[str]]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert CsvParser().parse(path, lambda done, total: None).rows == [rows]


def test_a_table_with_its_rows(samples: Path) -> None:
    document = parse(samples / "contacts.csv", "csv")
    assert document.rows
    assert document.rows[0]
    assert len(document.rows[0]) == 13
    assert document.rows[0][10][:2] == ["Jakub Nowak", "Światło, Nowak i Syn"]
    assert "Eva Jansen | Polder Marine | Utrecht | North | 7 | 188200 | 2025-09-25" in document.pages[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (["name", "price, net"], ["lamp", "3"], ["wick", "1"]))
    text = text.replace("price, net", '"price, net"')
    assert parse_text(tmp_path, text, "csv").rows == [[["name", "price, net"], ["lamp", "3"], ["wick", "1"]]]


def test_cells_with_line_breaks_and_blank_rows(tmp_path: Path) -> None:
    document = parse_text(tmp_path, 'a,"two\r\nlines"\r\n,\r\n\r\nb,c\r\n', "csv")
    assert document.pages == ["a | two lines\nb | c"]
    assert document.rows == [[["a", "two\nlines"], ["b", "c"]]]


def test_one_column(tmp_path: Path) -> None:
    assert parse_text(tmp_path, "name\nlamp\n", "csv").rows == [[["name"], ["lamp"]]]


def test_a_first_line_declares_the_delimiter(tmp_path: Path) -> None:
    assert parse_text(tmp_path, "sep=;\nname;a,b,c\nlamp;1,2,3\n", "csv").rows == [
        [["name", "a,b,c"], ["lamp", "1,2,3"]]
    ]


@pytest.mark.parametrize(
    ("text", "rows", "is_warned"),
    [
        ('a,"b\nc,d\n', [["a", '"b'], ["c", "d"]], True),
        ('a,5" pipe\nc,d\n', [["a", '5" pipe'], ["c", "d"]], False),
        ('a,"b ""x""\nc"\n', [["a", 'b "x"\nc']], False),
    ],
)
def test_a_quotation_mark_that_is_not_closed(tmp_path: Path, text: str, rows: list[list[str]], is_warned: bool) -> None:
    document = parse_text(tmp_path, text, "csv")
    assert document.rows == [rows]
    assert bool(document.warnings) == is_warned
