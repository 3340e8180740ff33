from pathlib import Path

import pytest

from documents.parsers.csv import CsvParser


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
