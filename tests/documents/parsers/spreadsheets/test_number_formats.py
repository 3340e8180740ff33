"""Numbers and dates in Excel's formats. Each result is what Excel shows with English settings."""

import pytest

from documents.parsers.spreadsheets.number_formats import shown, shown_text

ACCOUNTING = r'_-* #,##0.00\ "€"_-;\-* #,##0.00\ "€"_-;_-* "-"??\ "€"_-;_-@_-'


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.155, "0.0%", "15.5%"),
        (501, "00000", "00501"),
        (1234.5, '"EUR" #,##0.00', "EUR 1,234.50"),
        (1230000000.0, "0.00E+00", "1.23E+09"),
        (45366, "dd.mm.yyyy", "15.03.2024"),
        (0.75, "h:mm", "18:00"),
        (5551234567, "(000) 000-0000", "(555) 123-4567"),
        (-1234.5, "#,##0.00;(#,##0.00)", "(1,234.50)"),
        (-5, "0", "-5"),
        (-0.001, "0.00", "0.00"),
        (0, '#,##0.00;-#,##0.00;"-"', "-"),
        (1234567, "#,##0,", "1,235"),
        (1234567, '0.0,,"M"', "1.2M"),
        (1.5, "# ?/?", "1 1/2"),
        (0.333, "# ??/??", "1/3"),
        (2, "# ?/?", "2"),
        (1.75, "?/?", "7/4"),
        (45366.5, "yyyy-mm-dd hh:mm:ss", "2024-03-15 12:00:00"),
        (45366.5, "d mmm yyyy", "15 Mar 2024"),
        (45366.7, "h:mm AM/PM", "4:48 PM"),
        (1.5, "[h]:mm:ss", "36:00:00"),
        (1.5, "[mm]:ss", "2160:00"),
        (45366, "[$-407]dddd, d. mmmm yyyy", "Friday, 15. March 2024"),
        (12.5, "[$€-407] #,##0.00", "€ 12.50"),
        (12.5, "#,##0.00\\ [$€-1]", "12.50 €"),
        (5, "0.##", "5."),
        (5.25, "0.0#", "5.25"),
        (123456, "##0.0E+0", "123.5E+3"),
        (0.00012, "0.00E+00", "1.20E-04"),
        (12, 'General" km"', "12 km"),
        (1500, '[>=1000]#,##0,"K";0', "2K"),
        (500, '[>=1000]#,##0,"K";0', "500"),
        (0.1, "0%", "10%"),
        (123456789, "000-00-0000", "123-45-6789"),
        (7, '"No. "0', "No. 7"),
        (3, "@", "3"),
        (0, ";;;", ""),
        (0.5, "mm:ss.0", "00:00.0"),
        (45366.123456, "hh:mm:ss.00", "02:57:46.60"),
        (1e20, "#,##0", "100,000,000,000,000,000,000"),
        (2.5, "0", "3"),
        (0.285, "0.00", "0.29"),
        (1.005, "0.00", "1.01"),
        (33.3333, "0.0\\ %", "3333.3 %"),
        (0.5, "0 %", "50 %"),
        (9.999, "0.00E+00", "1.00E+01"),
        (3.0, '0.00" m²"', "3.00 m²"),
        (0.25, "# ?/8", "2/8"),
        (-3, ACCOUNTING, "-3.00 €"),
        (3, ACCOUNTING, "3.00 €"),
        (0, ACCOUNTING, "- €"),
        (45366, "[$-F800]dddd, mmmm dd, yyyy", "Friday, March 15, 2024"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (0.5, "[h]", "12"),
    ],
)
def test_a_number_as_the_program_shows_it(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_dates_that_count_from_1904() -> None:
    assert shown(43904, "dd.mm.yyyy", is_1904=True) == "15.03.2024"


@pytest.mark.parametrize(
    "code", ["General", "", "0" * 5_000, "[h", "[Red]", '"open', "E+", "//", "0/0", "_", "\\", "yyyy"]
)
@pytest.mark.parametrize("value", [0.0, -1.5, 1e300, 5e-324, float("nan"), float("inf"), 1e15])
def test_no_format_and_no_number_is_an_error(value: float, code: str) -> None:
    assert isinstance(shown(value, code), str)


def test_words_around_a_text() -> None:
    assert shown_text("x", '"Item "@') == "Item x"
    assert shown_text("x", '0;-0;0;@"!"') == "x!"
    assert shown_text("x", "0.00") == "x"
