"""Extracts the most telling sentences of a text, by frequent words, words of the question, and an early place."""

import html
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_CHARS = 400_000
MAX_SENTENCE = 400
_STOP_TEXT = """
a about after all also an and any are as at be been but by can could did do does for from had has have
he her his how if in into is it its may more most no not of on one only or other our out over she should
so some such than that the their them then there these they this those to under up was we were what when
which who will with would you your der die das und ist ein eine einer eines dem den des im in zu mit von
für auf als auch sich nicht wird werden sind oder bei nach aus le la les de des du et est un une en que
qui dans pour sur par au aux il elle el los las y es por con para una del al como het een van met zijn
niet voor dat op te
"""
_STOP = set(_STOP_TEXT.split())
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“„(\[]?[^\Wa-z])|(?<=[。！？])|\n\n|\n(?=[-*•#|>\d])")
_MARKUP = re.compile(
    r"^\s*(#{1,6}|[-*•>]|\d+[.)])\s+|[*`]{1,3}(?=\S)|(?<=\S)[*`]{1,3}|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)"
)
_BLOCKS = {"p", "div", "br", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article"}
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class Passage:
    """Text and where it comes from. `filename` and `page` are empty if that is not known."""

    text: str
    filename: str = ""
    page: int | None = None

    @property
    def source(self) -> str:
        place = f", page {self.page}" if self.page is not None else ""
        return f"{self.filename}{place}" if self.filename else ""


@dataclass(frozen=True)
class Sentence:
    text: str
    source: str
    place: int
    share: float
    words: frozenset[str]


def find_passages(output: Any) -> list[Passage]:
    """Finds text in a step's output: a string, `text`, `pages`, search results, or lists of these."""
    if isinstance(output, str):
        return [Passage(_plain(output))] if output.strip() else []
    if isinstance(output, list):
        return [passage for item in output for passage in find_passages(item) if isinstance(item, dict)]
    if not isinstance(output, dict):
        return []
    filename = str(output.get("filename") or "")
    page = output.get("page")
    text = output.get("text") or output.get("snippet")
    if isinstance(text, str) and text.strip():
        return [Passage(_plain(text), filename, page if isinstance(page, int) else None)]
    inner = [passage for name in ("pages", "results", "json") for passage in find_passages(output.get(name))]
    return [Passage(passage.text, passage.filename or filename, passage.page) for passage in inner]


def most_telling(passages: list[Passage], question: str, limit: int) -> list[Sentence]:
    """Returns at most `limit` sentences, in the order of the text, and always the same ones."""
    sentences = list(_sentences(passages))
    frequency = Counter(word for sentence in sentences for word in sentence.words)
    asked = _words(question)
    ranked = sorted(sentences, key=lambda sentence: (-_weight(sentence, frequency, asked), sentence.place))
    chosen: list[Sentence] = []
    for sentence in ranked:
        if len(chosen) == limit:
            break
        if not any(_is_alike(sentence, other) for other in chosen):
            chosen.append(sentence)
    return sorted(chosen, key=lambda sentence: sentence.place)


def _weight(sentence: Sentence, frequency: Counter[str], asked: frozenset[str]) -> float:
    """Mean log frequency of its words, plus bonuses for words of the question, figures and an early place."""
    common = sum(math.log1p(frequency[word]) for word in sentence.words) / (len(sentence.words) + 3)
    figures = 0.2 if re.search(r"\d", sentence.text) else 0.0
    return common + 0.5 * len(sentence.words & asked) + figures + 0.5 * (1 - sentence.share)


def _is_alike(one: Sentence, other: Sentence) -> bool:
    return len(one.words & other.words) > 0.6 * min(len(one.words), len(other.words))


def _sentences(passages: list[Passage]) -> Iterator[Sentence]:
    place = 0
    for passage in passages:
        pieces = [piece for piece in _SENTENCE_END.split(passage.text) if piece]
        for number, piece in enumerate(pieces):
            clean = " ".join(_MARKUP.sub("", piece).split())
            words = _words(clean)
            if _is_sentence(clean, words):
                yield Sentence(clean[:MAX_SENTENCE], passage.source, place, number / len(pieces), words)
                place += 1


def _is_sentence(text: str, words: frozenset[str]) -> bool:
    return len(words) >= 4 and text.count("|") < 3 and (len(text.split()) >= 5 or bool(_CJK.search(text)))


def _words(text: str) -> frozenset[str]:
    """Words that carry meaning. In scripts without spaces these are pairs of characters."""
    words = {word for word in re.findall(r"[^\W_]{2,}", text.lower()) if word not in _STOP and not _CJK.search(word)}
    for run in re.findall(rf"{_CJK.pattern}+", text):
        words |= {run[start : start + 2] for start in range(len(run) - 1)}
    return frozenset(words)


def _plain(text: str) -> str:
    """The text without HTML tags and search marks, with tidy white space. Every step takes linear time."""
    text = text[:MAX_CHARS]
    if re.search(r"<(html|body|!doctype|p|div)\b", text[:2000], re.IGNORECASE):
        text = "".join(_outside_tags(text))
    text = html.unescape(re.sub(r"</?(b|em|mark|strong)>", "", text))
    return re.sub(r"\n{2,}", "\n\n", "\n".join(" ".join(line.split()) for line in text.splitlines()))


def _outside_tags(page: str) -> Iterator[str]:
    hidden = ""
    for part in page.split("<"):
        tag, _, text = part.partition(">")
        name = re.split(r"[\s>/]", tag.lower().lstrip("/"), maxsplit=1)[0]
        if hidden and tag.lower().startswith(f"/{hidden}"):
            hidden = ""
        elif not hidden and name in ("script", "style", "head", "nav") and not tag.startswith("/"):
            hidden = name
        if not hidden:
            yield ("\n\n" if name in _BLOCKS else " ") + text
