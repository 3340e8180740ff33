"""Reads a file with the parser of its format."""

from pathlib import Path

from documents.parsers import Container, ParsedDocument, parser_for


def parse(path: Path, format_name: str = "") -> ParsedDocument:
    """Parses the file as this format. By default, its name decides."""
    parser = parser_for(format_name or path.suffix.removeprefix("."))
    assert parser
    return parser.parse(path, lambda done, total: None)


def parse_text(folder: Path, text: str, format_name: str) -> ParsedDocument:
    path = folder / "file"
    path.write_text(text, encoding="utf-8", newline="")
    return parse(path, format_name)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def members(path: Path) -> dict[str, bytes]:
    """Returns the documents inside the file, by their names."""
    parser = parser_for(path.suffix.removeprefix("."))
    assert isinstance(parser, Container)
    return {member.name: b"".join(member.blocks) for member in parser.members(path)}
