"""A snippet with the question's words marked, for the page of results."""

from itertools import takewhile

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from documents.terms import WORD, fold, words

ENDING = 3
"""How many letters a form of a word may have beside its stem."""
SHORT = 3


def marked(snippet: str, question: str) -> SafeString:
    """Everything but `<mark>` is escaped."""
    wanted = words(question)
    # Short words are mostly "the" and "of".
    wanted = [word for word in wanted if len(word) > SHORT] or wanted
    parts: list[tuple[str, str]] = []
    at = 0
    for match in WORD.finditer(snippet):
        if any(_is_form_of(fold(match.group()), word) for word in wanted):
            parts.append((snippet[at : match.start()], match.group()))
            at = match.end()
    return format_html("{}{}", format_html_join("", "{}<mark>{}</mark>", parts), snippet[at:])


def _is_form_of(word: str, wanted: str) -> bool:
    if word == wanted:
        return True
    stem = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, wanted, strict=False)))
    return stem > SHORT and max(len(word), len(wanted)) - stem <= ENDING
