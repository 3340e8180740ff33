"""Text in drawings of Office files: shapes, charts and diagrams."""

from collections.abc import Iterator

from documents.parsers.safe_xml import Element, descendants, local_name


def pieces(paragraph: Element) -> Iterator[str]:
    for element in descendants(paragraph, "t", "br", "tab"):
        yield {"br": "\n", "tab": "\t"}.get(local_name(element)) or element.text or ""


def labels(root: Element) -> Iterator[str]:
    """Yields the texts of a chart (titles, names of series and categories), a diagram, or comments, each once."""
    texts = (
        "".join(pieces(element)) if local_name(element) == "p" else element.text or ""
        for element in descendants(root, "p", "strCache", "text")
        if local_name(element) != "strCache"
    )
    cached = (value.text or "" for cache in descendants(root, "strCache") for value in descendants(cache, "v"))
    yield from dict.fromkeys(filter(None, map(str.strip, [*texts, *cached])))
