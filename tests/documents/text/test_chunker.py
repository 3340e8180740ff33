import random
import string
import time
from itertools import pairwise

import pytest

from documents.errors import TooComplex
from documents.text import chunker
from documents.text.chunker import PAGE_SEPARATOR, UNITS, Chunk, chunk_pages, count_words, encoding

SENTENCES = [f"Order number {number} left the warehouse on time." for number in range(2000)]
PROSE = "\n\n".join(" ".join(SENTENCES[start : start + 7]) for start in range(0, len(SENTENCES), 7))
CHINESE = "".join(f"第{number}号订单已经按时离开仓库，客户表示满意。" for number in range(1500))
NO_BLANKS = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=60_000))
MIXED = f"{PROSE[:9000]} {NO_BLANKS[:9000]} {CHINESE[:3000]}\n\n{PROSE[:3000]}\n" + "-" * 30_000 + "👩‍👩‍👧" * 900

TEXTS = {"prose": PROSE, "chinese": CHINESE, "no blanks": NO_BLANKS, "mixed": MIXED, "lines": "a\n" * 9000}


def count_tokens(text: str) -> int:
    return len(encoding().encode_ordinary(text))


def _overlaps(text: str, chunks: list[Chunk]) -> list[int]:
    return [
        count_tokens(text[after.start : before.end]) if after.start < before.end else 0
        for before, after in pairwise(chunks)
    ]


@pytest.mark.parametrize("size_and_overlap", [(500, 100), (500, 0), (64, 16), (100, 99), (10, 3)])
@pytest.mark.parametrize("name", TEXTS)
def test_invariants(name: str, size_and_overlap: tuple[int, int]) -> None:
    size, overlap = size_and_overlap
    text = TEXTS[name] if size > 100 else TEXTS[name][:20_000]
    covered = 0
    for index, chunk in enumerate(chunk_pages([text], size=size, overlap=overlap)):
        assert (chunk.index, chunk.page) == (index, 1)
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip()
        assert 0 < chunk.tokens == count_tokens(chunk.text) <= size
        assert chunk.end > covered
        assert not text[covered : chunk.start].strip(), "text between two chunks is lost"
        covered = chunk.end
    assert not text[covered:].strip()


@pytest.mark.parametrize("size_and_overlap", [(1000, 200), (1000, 0), (100, 99), (7, 3)])
@pytest.mark.parametrize("name", TEXTS)
def test_invariants_of_chunks_by_characters(name: str, size_and_overlap: tuple[int, int]) -> None:
    size, overlap = size_and_overlap
    text = TEXTS[name] if size > 100 else TEXTS[name][:5_000]
    covered = 0
    for chunk in chunk_pages([text], size=size, overlap=overlap, unit="characters"):
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip()
        assert 0 < chunk.tokens == len(chunk.text) <= size
        assert chunk.end > covered
        assert not text[covered : chunk.start].strip(), "text between two chunks is lost"
        covered = chunk.end
    assert not text[covered:].strip()


def test_the_overlap_in_characters() -> None:
    chunks = chunk_pages([PROSE], size=1000, overlap=200, unit="characters")
    overlaps = [before.end - after.start for before, after in pairwise(chunks)]
    assert all(150 <= overlap <= 200 for overlap in overlaps)


def test_chunks_end_with_paragraphs_or_sentences() -> None:
    assert all(chunk.text.endswith(".") for chunk in chunk_pages([PROSE]))


def test_a_paragraph_end_is_better_than_a_later_sentence_end() -> None:
    first = "One short sentence. " * 90
    text = f"{first.strip()}\n\n{'Another short sentence. ' * 70}"
    assert chunk_pages([text])[0].text == first.strip()


def test_words_are_whole() -> None:
    text = " ".join(SENTENCES).replace(".", "")
    words = set(text.split())
    assert all(set(chunk.text.split()) <= words for chunk in chunk_pages([text], size=50, overlap=10))


def test_a_word_that_fits_alone_is_not_cut_for_the_overlap() -> None:
    giant = "x1" * 220
    text = f"{' '.join(SENTENCES[:60])} {giant} {' '.join(SENTENCES[:60])}"
    assert 400 < count_tokens(giant) <= 500
    assert any(giant in chunk.text for chunk in chunk_pages([text]))


@pytest.mark.parametrize(("name", "least"), [("prose", 75), ("chinese", 75), ("no blanks", 99)])
def test_the_overlap_is_close_to_what_was_asked_for(name: str, least: int) -> None:
    overlaps = _overlaps(TEXTS[name], chunk_pages([TEXTS[name]], size=500, overlap=100))
    assert all(least <= overlap <= 105 for overlap in overlaps)


def test_a_large_overlap_does_not_end_chunks_early() -> None:
    overlaps = _overlaps(PROSE, chunk_pages([PROSE], size=100, overlap=80))
    assert sum(overlaps) / len(overlaps) > 55


def test_the_size_holds_when_the_cut_changes_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UNITS["tokens"], "count", lambda text: count_tokens(text) + 60)
    assert max(chunk.tokens for chunk in chunk_pages([PROSE])) <= 500


ROWS = "\n".join(f"Lamp {number} | brass | {number * 7} EUR" for number in range(400))
NAMES = "Article | Material | Price"


@pytest.mark.parametrize("before", ["", "Sheet 1\n", f"{SENTENCES[0]}\n\n"])
@pytest.mark.parametrize("size_and_overlap", [(500, 100), (200, 20), (100, 30)])
def test_column_names_are_in_each_chunk_of_a_table(before: str, size_and_overlap: tuple[int, int]) -> None:
    size, overlap = size_and_overlap
    text = f"{before}{NAMES}\n{ROWS}\n\n{SENTENCES[1]}"
    chunks = chunk_pages([text], size=size, overlap=overlap)
    assert len(chunks) > 10
    covered = 0
    for chunk in chunks:
        assert chunk.text.count(NAMES) == 1
        assert chunk.text in (text[chunk.start : chunk.end], f"{NAMES}\n{text[chunk.start : chunk.end]}")
        assert chunk.tokens == count_tokens(chunk.text) <= size
        assert not text[covered : chunk.start].strip()
        covered = chunk.end
    assert covered == len(text)


def test_after_a_table_there_are_no_column_names() -> None:
    chunks = chunk_pages([f"{NAMES}\n{ROWS}\n\n{PROSE[:9000]}"])
    assert NAMES not in chunks[-1].text


@pytest.mark.parametrize(
    "text",
    [
        f"1 | 2 | 3\n{ROWS}",  # no names
        f"{' | '.join(f'a long name of column {number}' for number in range(60))}\n{ROWS}",
        f"a | b\n{PROSE[:9000]}",  # no table
    ],
)
def test_headings_that_are_not_repeated(text: str) -> None:
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunk_pages([text]))


def test_lines_full_of_bars_take_no_time() -> None:
    start = time.process_time()
    chunk_pages([f"{' | ' * 300}\n" * 300 + "no table\n" + f"a{' | b' * 50}\n" * 2 + "end"])
    assert time.process_time() - start < 10


def test_chunks_keep_to_their_page() -> None:
    pages = [PROSE[:4000], "", "   \n", "A short page.", CHINESE[:1500]]
    chunks = chunk_pages(pages, size=200, overlap=40)
    text = PAGE_SEPARATOR.join(pages)
    assert {chunk.page for chunk in chunks} == {1, 4, 5}
    assert all(chunk.text in pages[chunk.page - 1] for chunk in chunks)
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))


def test_nothing_makes_no_chunks() -> None:
    assert chunk_pages([]) == chunk_pages(["", " \n"]) == []


@pytest.mark.parametrize("size_and_overlap", [(100, 100), (100, 200), (100, -1), (0, 0)])
def test_an_overlap_that_does_not_fit(size_and_overlap: tuple[int, int]) -> None:
    size, overlap = size_and_overlap
    with pytest.raises(ValueError, match="does not fit"):
        chunk_pages(["text"], size=size, overlap=overlap)


def test_too_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunker, "MAX_CHUNKS", 10)
    with pytest.raises(TooComplex):
        chunk_pages([PROSE], size=20, overlap=0)


@pytest.mark.parametrize("unit", ["no blanks", "chinese", "one line", "blanks"])
def test_time_is_linear(unit: str) -> None:
    texts = {"no blanks": NO_BLANKS, "chinese": CHINESE, "one line": " ".join(SENTENCES), "blanks": " " * 60_000 + "x"}
    chunk_pages([texts[unit]])

    def seconds(text: str) -> float:
        start = time.process_time()
        chunk_pages([text])
        return time.process_time() - start

    assert seconds(texts[unit] * 8) < 0.2 + 3 * 8 * seconds(texts[unit])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two words", 2),
        ("don't count 1,234.50 - twice |", 4),
        ("全部で七文字", 6),
        ("Pythonで書く", 4),
        ("모든 인간은 자유", 3),
        ("", 0),
    ],
)
def test_count_words(text: str, words: int) -> None:
    assert count_words(text) == words
