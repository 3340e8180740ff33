"""Files with a manifest of the phrases that they contain, and copies of them with different bytes."""

import csv
import importlib.util
import random
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import ModuleType

_MARKUP = re.compile(r"[*_`\\#>~|]")
_ZIPS = {"docx", "pptx", "xlsx", "odt", "epub"}
_ENCODING = re.compile(r"enc:([\w-]+)")
_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_COMMENTS = {"pdf": "\n% copy {}\n", "html": "\n<!-- copy {} -->\n"}


@dataclass(frozen=True)
class CorpusFile:
    """A file of the corpus. `phrases` are pairs of a phrase and its page (0 if it is on several pages)."""

    path: Path
    name: str
    format: str
    encoding: str
    codes: frozenset[str]
    tags: frozenset[str]
    phrases: tuple[tuple[str, int], ...]

    @property
    def is_good(self) -> bool:
        return self.name.startswith("good/")

    @property
    def needs_ocr(self) -> bool:
        return self.is_good and "needs_ocr" in self.codes

    def may_end_with(self, code: str) -> bool:
        """Whether the file may end with this code. `*` is any code except a crash."""
        return code in self.codes or ("*" in self.codes and code != "crashed")


@dataclass(frozen=True)
class PhraseHits:
    found: int = 0
    phrases: int = 0
    on_page: int = 0
    with_page: int = 0
    missing: tuple[str, ...] = ()

    def __add__(self, other: "PhraseHits") -> "PhraseHits":
        return PhraseHits(
            self.found + other.found,
            self.phrases + other.phrases,
            self.on_page + other.on_page,
            self.with_page + other.with_page,
            (*self.missing, *other.missing),
        )


class Corpus:
    """A folder with MANIFEST.csv, the files, and textnorm.py, which compares phrases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rule = _module(folder / "textnorm.py")
        with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
            self.rows = [_row(folder, row) for row in csv.DictReader(file)]

    def good(self, *, scanned: bool = False) -> list[CorpusFile]:
        return [row for row in self.rows if row.is_good and (scanned or not row.needs_ocr)]

    def bad(self) -> list[CorpusFile]:
        return [row for row in self.rows if not row.is_good]

    def hits(self, row: CorpusFile, pages: Sequence[str], *, is_markdown: bool = False) -> PhraseHits:
        """Counts the phrases that are found. With `is_markdown`, Markdown marks inside a phrase are ignored."""
        text = "\n".join(pages)
        bodies = [text, unescape(_MARKUP.sub("", text)), unescape(_MARKUP.sub(" ", text))] if is_markdown else [text]
        forms = [(self.rule.norm(body), self.rule.squeeze(body)) for body in bodies]
        missing = [phrase for phrase, _ in row.phrases if not any(self.rule.contains(*form, phrase) for form in forms)]
        placed = [(phrase, page) for phrase, page in row.phrases if page]
        right = [phrase for phrase, page in placed if page <= len(pages) and self._contains(pages[page - 1], phrase)]
        found = len(row.phrases) - len(missing)
        return PhraseHits(
            found, len(row.phrases), len(right), len(placed), tuple(f"{row.name}: {each}" for each in missing)
        )

    def _contains(self, text: str, phrase: str) -> bool:
        return bool(self.rule.contains(self.rule.norm(text), self.rule.squeeze(text), phrase))


def shuffled_copies(rows: Sequence[CorpusFile], number: int, folder: Path) -> Iterator[tuple[CorpusFile, Path]]:
    """Yields `number` copies in a shuffled order that is the same in every run. Each copy has a different end."""
    folder.mkdir(parents=True, exist_ok=True)
    places = list(range(number))
    random.Random(8).shuffle(places)
    for place in places:
        row, copy = rows[place % len(rows)], place // len(rows)
        path = folder / f"{copy}-{row.path.name}"
        if not path.exists():
            _write_copy(row, copy, path)
        yield row, path


def _write_copy(row: CorpusFile, copy: int, path: Path) -> None:
    data = row.path.read_bytes()
    if row.format in _ZIPS:
        path.write_bytes(data)
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = f"copy {copy}".encode()
        return
    end = _COMMENTS.get(row.format, "\n" * (copy + 1)).format(copy)
    path.write_bytes(data + end.encode(row.encoding))


def _row(folder: Path, row: dict[str, str]) -> CorpusFile:
    phrases = [phrase for phrase in row["must_contain"].split(";") if phrase]
    pages = [int(page or 0) for page in row["phrase_pages"].split(";")] if row["phrase_pages"] else [0] * len(phrases)
    named = _ENCODING.search(row["tags"])
    encoding = named[1] if named else "utf-8"
    codes = row["expected"].split("|") if row["file"].startswith("good/") else row["codes"].split()
    return CorpusFile(
        folder / row["file"],
        row["file"],
        row["format"],
        _WITHOUT_MARK.get(encoding, encoding),
        frozenset(codes),
        frozenset(row["tags"].split()),
        tuple(zip(phrases, pages, strict=True)),
    )


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("textnorm", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
