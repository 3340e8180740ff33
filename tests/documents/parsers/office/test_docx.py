from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import docx
import pytest
from docx.oxml.parser import parse_xml

from documents.errors import Corrupt
from documents.parsers import ParsedDocument
from documents.parsers.office.docx import DocxParser
from tests.support.builder import word, write_docx, write_zip

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TRACKED = f"""<w:p {W}><w:r><w:t xml:space="preserve">We </w:t></w:r>
<w:ins><w:r><w:t>accept</w:t></w:r></w:ins><w:del><w:r><w:delText>refuse</w:delText><w:t>decline</w:t></w:r></w:del>
<w:moveFrom><w:r><w:t>tomorrow</w:t></w:r></w:moveFrom>
<w:r><w:t xml:space="preserve"> the offer.</w:t></w:r></w:p>"""
BOXED = f"""<w:p {W}><w:r><w:t>Anchor.</w:t></w:r><w:r><w:pict><w:txbxContent>
<w:p><w:r><w:t>In the box.</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"""


def _parse(path: Path) -> ParsedDocument:
    return DocxParser().parse(path, lambda done, total: None)


def _with_xml(folder: Path, xml: str) -> Path:
    document = docx.Document()
    document.element.body.insert(0, parse_xml(xml))
    document.save(str(folder / "a.docx"))
    return folder / "a.docx"


def _rewritten(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    target.write_bytes(change(source.read_bytes()))
    return target


TITLED = word("Letterhead") + word("Lamps", '<w:pPr><w:pStyle w:val="Titel"/></w:pPr>')


def test_properties_also_of_a_file_that_python_docx_does_not_open(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("text")
    properties = document.core_properties
    properties.title, properties.author, properties.subject, properties.keywords = "Lamps", "Ada", "Light", "oil, wick"
    document.save(str(tmp_path / "whole.docx"))
    lacking = _without(tmp_path / "whole.docx", "docProps/thumbnail.jpeg")
    with pytest.raises(KeyError):
        docx.Document(str(lacking))
    for path in (tmp_path / "whole.docx", lacking):
        assert _parse(path).metadata == {"title": "Lamps", "author": "Ada", "subject": "Light", "keywords": "oil, wick"}


def _without(path: Path, name: str) -> Path:
    with ZipFile(path) as archive:
        parts = {found: archive.read(found) for found in archive.namelist() if found != name}
    return write_zip(path.with_name("lacking.docx"), dict(parts))


@pytest.mark.parametrize(
    ("style", "metadata"),
    [
        ('<w:style w:type="paragraph" w:styleId="Titel"><w:name w:val="Title"/></w:style>', {"title": "Lamps"}),
        ('<w:style w:type="paragraph" w:styleId="Titel"><w:name w:val="Other"/></w:style>', {}),
        ('<w:style w:type="unheard of" w:styleId="Titel"><w:name w:val="Title"/></w:style>', {}),
        ('<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>', {}),
        ('<w:style w:styleId="Titel"><w:name/></w:style>', {}),
        ("", {}),
    ],
)
def test_the_title_is_the_paragraph_in_the_style_of_that_name(
    tmp_path: Path, style: str, metadata: dict[str, str]
) -> None:
    styles = f"<w:styles {W}>{style}</w:styles>"
    assert _parse(write_docx(tmp_path / "a.docx", TITLED, ("styles", "styles.xml", styles))).metadata == metadata


def test_it_works(samples: Path) -> None:
    document = _parse(samples / "service-contract.docx")
    text = document.pages[0]
    assert len(document.pages) == 1
    assert document.metadata == {"title": "Service Contract 2025-117", "author": "Northwind Lantern Company"}
    in_order = ["confidential", "2. Term and termination", "Picking and packing | order | 3.20", "4. Liability", "Quay"]
    places = [text.rindex(phrase) for phrase in in_order]
    assert places == sorted(places)


def test_a_nested_table_is_in_its_cell(samples: Path) -> None:
    assert "Surcharges | Dangerous goods | plus 25 % | on the price above" in _parse(
        samples / "service-contract.docx"
    ).pages[0].replace("\n", " ")


def test_tracked_changes_read_as_accepted(tmp_path: Path) -> None:
    assert _parse(_with_xml(tmp_path, TRACKED)).pages[0].replace("\n", "") == "We accept the offer."


def test_text_boxes_follow_their_paragraph(tmp_path: Path) -> None:
    assert _parse(_with_xml(tmp_path, BOXED)).pages[0] == "Anchor.\n\nIn the box."


def test_progress_reaches_the_end(samples: Path) -> None:
    progress: list[tuple[int, int]] = []
    DocxParser().parse(samples / "service-contract.docx", lambda done, total: progress.append((done, total)))
    assert progress[-1][0] == progress[-1][1] > 0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_file_is_corrupt(samples: Path, tmp_path: Path, share: float) -> None:
    path = _rewritten(
        samples / "service-contract.docx", tmp_path / "a.docx", lambda data: data[: int(len(data) * share)]
    )
    with pytest.raises(Corrupt):
        _parse(path)


def test_damaged_bytes_are_corrupt(samples: Path, tmp_path: Path) -> None:
    path = _rewritten(
        samples / "service-contract.docx",
        tmp_path / "a.docx",
        lambda data: data[:300] + bytes(len(data) // 2) + data[300 + len(data) // 2 :],
    )
    with pytest.raises(Corrupt):
        _parse(path)
