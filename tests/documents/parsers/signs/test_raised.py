import pytest

from documents.parsers.signs.raised import superscript


@pytest.mark.parametrize(
    ("raised", "plain"),
    [
        ("6", "⁶"),
        ("-12", "⁻¹²"),
        ("\u221212", "⁻¹²"),
        ("2+", "²⁺"),
        ("1, 2", "¹, ²"),
        ("(3)", "⁽³⁾"),
        ("(a)", "(a)"),
        ("[1]", "[1]"),
        ("(n+1)", "^(n+1)"),
        ("⁶", "⁶"),
        ("n", "ⁿ"),
        ("x", "^x"),
        ("n+1", "^(n+1)"),
        ("2x", "^(2x)"),
        ("st", "st"),
        ("TM", "TM"),
        ("*", "*"),
        ("see note 3", "see note 3"),
        (" 6 ", " ⁶ "),
        ("", ""),
        (" ", " "),
    ],
)
def test_raised_text(raised: str, plain: str) -> None:
    assert superscript(raised) == plain
