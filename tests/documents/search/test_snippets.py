import pytest

from documents.search.snippets import Snippet, snippets

LONG = "Nothing of note happens here. " * 30
pytestmark = pytest.mark.django_db


def cut(text: str, *lexemes: str, beginnings: tuple[str, ...] = (), language: str = "english") -> Snippet:
    (found,) = snippets([(text, language)], set(lexemes), beginnings)
    return found


def marked(found: Snippet) -> list[str]:
    return [found.text[start:end] for start, end in found.marks]


def test_a_short_text_is_its_own_snippet() -> None:
    assert cut(" A short  text\nindeed", "short") == Snippet("A short text indeed", ((2, 7),))


def test_it_is_cut_around_the_words() -> None:
    found = cut(LONG + "The harvest was good." + LONG, "harvest")
    assert "The harvest was good." in found.text
    assert marked(found) == ["harvest"]
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert len(found.text) <= 302


def test_the_place_with_most_different_words_wins() -> None:
    text = "harvest harvest harvest " + LONG + "a poor harvest in the barn. " + LONG
    assert "harvest in the barn" in cut(text, "harvest", "barn").text


def test_no_word_is_cut() -> None:
    found = cut(LONG + "harvest " + LONG, "harvest").text.strip("…")
    assert set(found.split()) <= set((LONG + "harvest").split())


@pytest.mark.parametrize(
    ("word", "lexeme", "language"),
    [
        ("happy", "happi", "english"),
        ("Universities", "univers", ""),
        ("Straße", "strass", "german"),
        ("Häuser", "haus", "german"),
        ("администрации", "администрац", "english"),
        ("ef\u00adfi\u00adcient", "effici", "english"),
    ],
)
def test_forms_of_a_word_are_marked(word: str, lexeme: str, language: str) -> None:
    assert marked(cut(LONG + word + " " + LONG, lexeme, language=language)) == [word]


def test_what_begins_so_is_marked() -> None:
    assert marked(cut("A university, its universe and the diversity", beginnings=("univers",))) == [
        "university",
        "universe",
    ]


def test_pairs_of_characters_are_marked_as_one() -> None:
    assert marked(cut("人人生而自由,在尊严", "生而", "而自", "自由", "尊严")) == ["生而自由", "尊严"]


@pytest.mark.parametrize("text", ["", "x" * 5000, " " * 1000, "自由" * 1000, "\u0301\u0301", "\u0e31"])
def test_unusual_texts(text: str) -> None:
    assert len(cut(text, "x" * 5000, "自由").text) <= 302
