"""Puts a page's letters in reading order if the file draws them in another one. PDFium keeps the order of the file.

1. Letters that are printed twice, a little apart, to look bold: one of each two is dropped.
2. Letters that are set far apart: the blanks between them are dropped.
3. Letters below each other: a column of them becomes a line, and columns go from right to left.
4. Columns of text that are drawn line by line across the page: each is read to its end.

Positions cost time, so a glance at the text comes first. A change needs evidence in the positions.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from ctypes import byref, c_double
from dataclasses import dataclass
from itertools import groupby, islice, pairwise
from statistics import median

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from documents.parsers.pdf.cipher import share_of_usual_pairs
from documents.parsers.pdf.repair import HYPHEN

MIN_USUAL_PAIRS = 0.4
MAX_OVERLAP = 0.7
"""A share of a letter's width. An equal letter that is nearer than that is printed on top of it."""
MIN_DOUBLED_LETTERS = 8
MIN_DIFFERENT_LETTERS = 3
MIN_SPACED_SHARE = 0.7
MAX_PITCH_DEVIATION = 0.12
MIN_UPRIGHT_LINES = 4
MIN_COLUMN_ROWS = 5
GLANCED_DOUBLES = 4
GLANCED_LINES = 5
GLANCED_STARTS = 9
MIN_LINE_TO_GLANCE_AT = 30
MAX_LINE_IN_COLUMN = 60
WIDE_GAP = 1.2
"""In letter heights, like the following ones: the least gap between columns. Blanks in a line have a quarter."""
MIN_GUTTER = 0.8
MAX_LINE_DISTANCE = 2.2
MIN_WORDS_IN_LINE = 2.5
MIN_LETTERS = 0.7
MIN_CONTINUED = 0.3
"""The share of lines that begin with a small letter. In columns of prose most do, in tables few."""

_RARE_DOUBLES = ("aa", "hh", "ii", "kk", "uu", "vv", "ww", "yy", "AA", "HH", "II")
_RARE_DOUBLE = re.compile("|".join(_RARE_DOUBLES))
_DOUBLES = re.compile(r"([^\W\d_])\1")
_DOUBLED_WORDS = re.compile(r"(?<!\S)(?:([^\W\d_])\1)+(?:[ .,:-]+(?:([^\W\d_])\2)+)*(?!\S)")
_SPACED = re.compile(
    r" [^\W\d_]{1,2} [^\W\d_]{1,2} [^\W\d_]{1,2} [^\W\d_]{1,2} [^\W\d_]{1,2}(?!\S)"
    r"|\n[^\W\d_]{1,2} [^\W\d_]{1,2} (?:[^\W\d_]{1,2} [^\W\d_]{1,2}(?!\S)|[^\W\d_]{1,2}[\r\n])"
)
_EAST_ASIAN = re.compile("[\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60]")
_UPRIGHT = re.compile(r"\n(?:[^\S\n]?[^\W\d_][^\S\n]{,2}\n){3}")

Line = list[int]
"""The places of a line's characters in the text of PDFium."""


@dataclass(frozen=True)
class Piece:
    """A line or a part of one: its text, where it begins, and how high its letters are."""

    text: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class _Segment:
    line: int
    places: Line
    left: float
    right: float
    y: float
    size: float


def ordered(text_page: pdfium.PdfTextPage, text: str) -> str:
    """Returns the text of a page in reading order. `text` is what PDFium returns."""
    text = without_doubled_words(text)
    if len(text) != text_page.count_chars():
        return text  # characters beyond 16 bits: the places are not known
    page = _Letters(text_page, text)
    changes = [change for may_help, change in _CHANGES if may_help(page)]
    if not changes:
        return text
    before = lines = _lines(text)
    for change in changes:
        lines = change(page, lines)
    if lines is before:
        return text
    # A word that was cut at the end of a line has its rest in the next one only now.
    return re.sub(r"(?<=[^\W\d_])-\s*\n(?=[^\W\d_])", HYPHEN, "\n".join(map(page.text_of, lines)))


def _lines(text: str) -> list[Line]:
    lines: list[Line] = [[]]
    for place, letter in enumerate(text):
        if letter == "\n":
            lines.append([])
        elif letter != "\r":
            lines[-1].append(place)
    return lines


class _Letters:
    """The positions of a page's letters, asked for when needed."""

    def __init__(self, text_page: pdfium.PdfTextPage, text: str) -> None:
        self.text_page = text_page
        self.text = text
        self._x, self._y = c_double(), c_double()
        self._box = pdfium_c.FS_RECTF()

    def text_of(self, line: Iterable[int]) -> str:
        return "".join(self.text[place] for place in line)

    def origin(self, place: int) -> tuple[float, float]:
        pdfium_c.FPDFText_GetCharOrigin(self.text_page, place, byref(self._x), byref(self._y))
        return self._x.value, self._y.value

    def sides(self, place: int) -> tuple[float, float]:
        """Returns the left and right side of a letter, with the blank around it."""
        pdfium_c.FPDFText_GetLooseCharBox(self.text_page, place, byref(self._box))
        return self._box.left, self._box.right

    def height(self, place: int) -> float:
        pdfium_c.FPDFText_GetLooseCharBox(self.text_page, place, byref(self._box))
        return max(1.0, float(self._box.top - self._box.bottom))

    def is_added(self, place: int) -> bool:
        """Whether PDFium has added the character, such as a blank where there is a gap."""
        return bool(pdfium_c.FPDFText_IsGenerated(self.text_page, place) == 1)

    def pieces(self, lines: Sequence[Line]) -> list[Piece]:
        return [self.piece(line) for line in lines]

    def piece(self, line: Line) -> Piece:
        text = self.text_of(line)
        first = next((place for place in line if not self.text[place].isspace()), None)
        if first is None:
            return Piece("", 0, 0, 1)
        return Piece(text, *self.origin(first), self.height(first))


def without_doubled_words(text: str) -> str:
    """Halves words in which every letter is there twice. Several in a row, or a long one, are no accident."""
    return _DOUBLED_WORDS.sub(_halved, text) if _has_rare_doubles(text) else text


def _has_rare_doubles(text: str) -> bool:
    return any(double in text for double in _RARE_DOUBLES)  # faster than a pattern


def _halved(match: re.Match[str]) -> str:
    # Not `XXXXXXXX`, which is the same letter eight times.
    is_doubled = len(match[0]) >= MIN_DOUBLED_LETTERS and len(set(match[0])) >= MIN_DIFFERENT_LETTERS
    return _DOUBLES.sub(r"\1", match[0]) if is_doubled else match[0]


def _may_have_doubles(page: _Letters) -> bool:
    if not _has_rare_doubles(page.text):
        return False
    glance = islice(_RARE_DOUBLE.finditer(page.text), GLANCED_DOUBLES)
    return any(_overlap(page, match.start()) for match in glance)


def _without_doubles(page: _Letters, lines: list[Line]) -> list[Line]:
    doubles = {match.start() for match in re.finditer(r"(?=([^\W\d_])\1)", page.text)}
    second = {place + 1 for place in doubles if _overlap(page, place)}
    return [[place for place in line if place not in second] for line in lines]


def _overlap(page: _Letters, place: int) -> bool:
    """Whether the letter and the next one are in nearly the same place."""
    (x, y), (next_x, next_y) = page.origin(place), page.origin(place + 1)
    left, right = page.sides(place)
    return abs(next_y - y) < MAX_OVERLAP * page.height(place) and abs(next_x - x) < MAX_OVERLAP * (right - left)


def _may_be_spaced(page: _Letters) -> bool:
    return _SPACED.search(f"\n{page.text}\n") is not None


def _closed_up(page: _Letters, lines: list[Line]) -> list[Line]:
    spaced = {number for number, line in enumerate(lines) if len(line) > 4 and _is_spaced(page.text_of(line))}
    if not spaced:
        return lines
    return [_closed_up_line(page, line) if number in spaced else line for number, line in enumerate(lines)]


def _is_spaced(text: str) -> bool:
    words = text.split()
    return len(words) > 2 and sum(len(word) <= 2 and word.isalpha() for word in words) >= MIN_SPACED_SHARE * len(words)


def _closed_up_line(page: _Letters, line: Line) -> Line:
    """Returns the line without the blanks within words, if its letters are set at even distances."""
    letters = [place for place in line if not page.text[place].isspace()]
    if len(letters) < 4 or any(page.text[place] == " " and not page.is_added(place) for place in line):
        return line
    distances = _pitches(page, letters) or _gaps(page, letters)
    closed = [letters[0]]
    for (before, place), is_far in zip(pairwise(letters), distances, strict=False):
        between = [each for each in range(before + 1, place) if each in line] if is_far else []
        closed += [*between[:1], place]
    if len(closed) == len(line) or len(closed) < len(letters):
        return line
    is_better = share_of_usual_pairs(page.text_of(closed)) >= MIN_USUAL_PAIRS
    return closed if is_better else line


def _pitches(page: _Letters, letters: Line) -> list[bool] | None:
    """Returns which letters are far from their neighbor, if all others have one distance, as on a typewriter."""
    steps = [page.origin(place)[0] - page.origin(before)[0] for before, place in pairwise(letters)]
    pitch = median(steps)
    near = [step for step in steps if abs(step - pitch) <= MAX_PITCH_DEVIATION * pitch]
    return [step > 1.5 * pitch for step in steps] if pitch > 0 and len(near) >= 0.6 * len(steps) else None


def _gaps(page: _Letters, letters: Line) -> list[bool]:
    """Returns which letters are farther from their neighbor than most, if all are set apart."""
    height = page.height(letters[0])
    gaps = [page.sides(place)[0] - page.sides(before)[1] for before, place in pairwise(letters)]
    usual = median(gaps)
    return [gap > usual + 0.25 * height for gap in gaps] if 0.05 * height < usual < 0.8 * height else []


def _may_be_upright(page: _Letters) -> bool:
    return looks_upright(page.text)


def _upright(page: _Letters, lines: list[Line]) -> list[Line]:
    order = upright_order(page.pieces(lines))
    if order is None:
        return lines
    return [_column(page, [lines[number] for number in numbers]) for numbers in order]


def _column(page: _Letters, letters: Sequence[Line]) -> Line:
    if len(letters) == 1:
        return letters[0]
    return [place for line in letters for place in line if not page.text[place].isspace()]


def looks_upright(text: str) -> bool:
    """Whether some lines of the text have one letter each."""
    return _UPRIGHT.search(f"\n{text}\n") is not None


def upright_order(pieces: Sequence[Piece]) -> list[list[int]] | None:
    """Returns the lines of a page with upright columns, as numbers of the pieces that each consists of.

    Returns None if there are no such columns.
    """
    columns = list(_columns_of_letters(pieces))
    if not any(_is_upright(pieces, column) for column in columns):
        return None
    order: list[list[int]] = []
    for is_upright, group in groupby(columns, key=lambda column: _is_upright(pieces, column)):
        found = list(group)
        order += sorted(found, key=lambda column: _tier_and_side(pieces, column, found)) if is_upright else found
    return [column for each in order for column in ([each] if _is_upright(pieces, each) else [[one] for one in each])]


def _columns_of_letters(pieces: Sequence[Piece]) -> Iterator[list[int]]:
    column: list[int] = []
    for number, piece in enumerate(pieces):
        if column and not _is_below(pieces[column[-1]], piece):
            yield column
            column = []
        column.append(number)
    if column:
        yield column


def _is_below(upper: Piece, lower: Piece) -> bool:
    are_letters = len(upper.text.strip()) == len(lower.text.strip()) == 1
    is_near = 0 < upper.y - lower.y <= 2 * max(upper.size, lower.size)
    return are_letters and is_near and abs(upper.x - lower.x) <= 0.6 * max(upper.size, lower.size)


def _is_upright(pieces: Sequence[Piece], column: Sequence[int]) -> bool:
    """Whether a column of letters is text: East Asian, or a word. Numbers of lines are none."""
    text = "".join(pieces[number].text.strip() for number in column)
    if _EAST_ASIAN.search(text):
        return len(column) > 1
    return len(column) >= MIN_UPRIGHT_LINES and text.isalpha() and share_of_usual_pairs(text) >= MIN_USUAL_PAIRS


def _tier_and_side(pieces: Sequence[Piece], column: list[int], columns: Sequence[list[int]]) -> tuple[float, float]:
    """Returns the key of a column: those at the same height go from right to left, if they are East Asian."""
    first = pieces[column[0]]
    if not _EAST_ASIAN.search(first.text):
        return 0, 0
    beside = [each for each in columns if pieces[each[0]].y >= pieces[column[-1]].y - first.size]
    top = max((pieces[each[0]].y for each in beside if pieces[each[-1]].y <= first.y), default=first.y)
    return -top, -first.x


def _by_columns(page: _Letters, lines: list[Line]) -> list[Line]:
    segments = [segment for number, line in enumerate(lines) for segment in _segments(page, number, line)]
    read: list[_Segment] = []
    moved: set[int] = set()
    for block, gutters in _blocks(_rows(segments)):
        columns = _columns(block, gutters)
        if gutters and _are_prose(page, columns):
            read += [segment for column in columns for segment in column]
            moved |= {segment.line for row in block for segment in row}
        else:
            read += [segment for row in block for segment in row]
    if not moved:
        return lines
    return [
        line
        for number, group in groupby(read, key=lambda each: each.line)
        for line in _parts(lines, moved, number, group)
    ]


def _parts(lines: Sequence[Line], moved: set[int], number: int, segments: Iterable[_Segment]) -> list[Line]:
    return [segment.places for segment in segments] if number in moved else [lines[number]]


def _may_have_columns(page: _Letters) -> bool:
    """Whether long lines have wide gaps, or lines begin beside each other. Looks at a few lines of words only."""
    starts = [0, *(match.end() for match in re.finditer("\n", page.text))]
    lines = [(start, end) for start, end in pairwise([*starts, len(page.text) + 2]) if end - start > 3]
    if len(lines) < MIN_COLUMN_ROWS:
        return False
    longest = sorted(lines, key=lambda line: line[0] - line[1])[1 : GLANCED_LINES + 1]  # the first may be a heading
    if all(_is_of_words(page, *line) and _has_wide_gap(page, *line) for line in longest):
        return True
    if len(page.text) > MAX_LINE_IN_COLUMN * len(lines):
        return False
    middle = lines[len(lines) // 3 :][:GLANCED_STARTS]
    if sum(page.text[start].islower() for start, _ in middle) < GLANCED_STARTS // 3:
        return False
    origins = [page.origin(start) for start, _ in middle]
    beside = sum(abs(y - next_y) < 3 and abs(x - next_x) > 40 for (x, y), (next_x, next_y) in pairwise(origins))
    return beside >= GLANCED_STARTS // 3


def _is_of_words(page: _Letters, start: int, end: int) -> bool:
    line = page.text[start:end]
    return len(line) >= MIN_LINE_TO_GLANCE_AT and sum(map(str.isalpha, line)) >= MIN_LETTERS * len(line)


def _has_wide_gap(page: _Letters, start: int, end: int) -> bool:
    quarter = (end - start) // 4  # columns have a gap in the middle half of a line
    spaces = [place for place in range(start + quarter, end - quarter) if page.text[place] == " "]
    pitch = abs(page.origin(end - 4)[0] - page.origin(start)[0]) / (end - start)
    return any(abs(page.origin(place + 1)[0] - page.origin(place - 1)[0]) > 4.5 * pitch for place in spaces)


def _segments(page: _Letters, number: int, line: Line) -> Iterator[_Segment]:
    """Yields the parts of a line between wide gaps."""
    letters = [place for place in line if not page.text[place].isspace()]
    if not letters:
        return
    height = page.height(letters[0])
    begin = letters[0]
    for before, place in pairwise([*letters, -1]):
        if place - before == 1:
            continue
        if place < 0 or page.sides(place)[0] - page.sides(before)[1] > WIDE_GAP * height:
            places = line[bisect_left(line, begin) : bisect_left(line, before) + 1]
            yield _Segment(number, places, page.sides(begin)[0], page.sides(before)[1], page.origin(begin)[1], height)
            begin = place


Row = list[_Segment]
Gutter = tuple[float, float]


def _rows(segments: Iterable[_Segment]) -> list[Row]:
    rows: list[Row] = []
    for segment in segments:
        last = rows[-1][-1] if rows else None
        if last and abs(last.y - segment.y) < 0.5 * last.size and segment.left > last.right:
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return rows


def _blocks(rows: Sequence[Row]) -> Iterator[tuple[list[Row], list[Gutter]]]:
    """Yields successive rows with the same gaps between their columns."""
    block: list[Row] = []
    gutters: list[Gutter] = []
    for row in rows:
        left = _common(gutters or _inner_gaps(row), row) if block else _inner_gaps(row)
        is_far = bool(block) and not 0 < block[-1][0].y - row[0].y <= MAX_LINE_DISTANCE * row[0].size
        if block and (is_far or len(left) < len(gutters) or (left and not gutters)):
            yield block, gutters
            block, left = [], _inner_gaps(row)
        block.append(row)
        gutters = left
    if block:
        yield block, gutters


def _inner_gaps(row: Row) -> list[Gutter]:
    return [(before.right, after.left) for before, after in pairwise(row)]


def _common(gutters: Sequence[Gutter], row: Row) -> list[Gutter]:
    """Returns what is left of the gutters beside the segments of a row."""
    found = []
    for start, end in gutters:
        left, right = start, end
        for segment in row:
            if segment.left < right and segment.right > left:
                left, right = (segment.right, right) if segment.left <= left else (left, segment.left)
        if right - left >= MIN_GUTTER * row[0].size:
            found.append((left, right))
    return found


def _columns(block: Sequence[Row], gutters: Sequence[Gutter]) -> list[list[_Segment]]:
    edges = [(start + end) / 2 for start, end in gutters]
    columns: list[list[_Segment]] = [[] for _ in range(len(edges) + 1)]
    for row in block:
        for segment in row:
            columns[sum(edge < segment.left for edge in edges)].append(segment)
    return columns


def _are_prose(page: _Letters, columns: Sequence[Sequence[_Segment]]) -> bool:
    """Whether the columns are running text, and no table: long lines of words that continue in the line below."""
    if min(map(len, columns)) < MIN_COLUMN_ROWS:
        return False
    texts = [[page.text_of(segment.places) for segment in column] for column in columns]
    everything = "".join("".join(column) for column in texts)
    if sum(letter.isalpha() or letter.isspace() for letter in everything) < MIN_LETTERS * len(everything):
        return False
    if 2 * len(_EAST_ASIAN.findall(everything)) > len(everything):
        return all(sum(map(len, column)) >= 10 * len(column) for column in texts)
    words = [sum(len(line.split()) for line in column) / len(column) for column in texts]
    continued = [sum(line[:1].islower() for line in column[1:]) / (len(column) - 1) for column in texts]
    return min(words) >= MIN_WORDS_IN_LINE and median(continued) >= MIN_CONTINUED and min(continued) > 0


_CHANGES = (
    (_may_have_doubles, _without_doubles),
    (_may_be_spaced, _closed_up),
    (_may_be_upright, _upright),
    (_may_have_columns, _by_columns),
)
