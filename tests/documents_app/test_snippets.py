import pytest

from documents.snippets import snippet

LONG = "Nothing of note happens here. " * 30


def test_a_short_text_is_its_own_snippet() -> None:
    assert snippet("A short  text\nindeed", ["short"]) == "A short text indeed"


def test_it_is_cut_around_the_words() -> None:
    found = snippet(LONG + "The harvest was good." + LONG, ["harvest"])
    assert "The harvest was good." in found
    assert found.startswith("…")
    assert found.endswith("…")
    assert len(found) <= 302


def test_the_place_with_most_different_words_wins() -> None:
    text = "harvest harvest harvest " + LONG + "a poor harvest in the barn" + LONG
    assert "harvest in the barn" in snippet(text, ["harvest", "barn"])


def test_no_word_is_cut() -> None:
    found = snippet(LONG + "harvest " + LONG, ["harvest"]).strip("…")
    assert set(found.split()) <= set((LONG + "harvest").split())


@pytest.mark.parametrize(
    ("word", "stem"), [("happy", "happi"), ("happiness", "happi"), ("Universities", "univers"), ("Straße", "strass")]
)
def test_stems_are_recognised(word: str, stem: str) -> None:
    assert word in snippet(LONG + word + " " + LONG, [stem])


@pytest.mark.parametrize("text", ["", "x" * 5000, " " * 1000, "自由" * 1000])
def test_unusual_texts(text: str) -> None:
    assert len(snippet(text, ["x" * 5000, "自"])) <= 302
