"""A text with its hits marked, for pages."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from documents.search.snippets import Snippet


def marked(snippet: Snippet) -> SafeString:
    """Everything but `<mark>` is escaped."""
    parts: list[tuple[str, str]] = []
    at = 0
    for start, end in snippet.marks:
        parts.append((snippet.text[at:start], snippet.text[start:end]))
        at = end
    return format_html("{}{}", format_html_join("", "{}<mark>{}</mark>", parts), snippet.text[at:])
