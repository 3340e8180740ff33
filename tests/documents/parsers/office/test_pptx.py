from pathlib import Path
from zipfile import ZipFile

import pytest

from documents.errors import Corrupt
from tests.documents.parsers.parsing import parse
from tests.support import builder


def test_slides_in_their_order_with_tables_charts_and_notes(tmp_path: Path) -> None:
    document = parse(builder.write_pptx(tmp_path / "a.pptx"))
    first, second = document.pages
    assert first == "Lantern sales\n\nUp by a tenth"
    assert second == (
        "Figures\n\nMonth | Lamps\nJuly | 310\n\nLamps by month\nBrass lantern\n\nDrawn\nlong ago\n\n"
        "Notes: Pause here for questions."
    )


def test_a_presentation_whose_relationships_lead_out_of_the_file(tmp_path: Path) -> None:
    """No external link is followed, as its target is not part of the document."""
    targets = ("../../../../etc/passwd", "file:///etc/passwd", "http://192.0.2.1/slide.xml")
    links = [(f"rId{place}", "slide", target) for place, target in enumerate(targets)]
    ids = "".join(f'<p:sldId r:id="{id}"/>' for id, _, _ in links)
    names = f'xmlns:p="x" xmlns:r="{builder.RELATIONSHIPS}"'
    path = builder.write_zip(
        tmp_path / "a.pptx",
        {
            **builder.package("ppt/presentation.xml", f"{builder.OFFICE}.presentationml.presentation.main+xml"),
            "ppt/presentation.xml": f"<p:presentation {names}>{ids}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": builder.rels(*links),
        },
    )
    with pytest.raises(Corrupt):
        parse(path)


def test_a_missing_slide_costs_that_slide(tmp_path: Path) -> None:
    whole = builder.write_pptx(tmp_path / "a.pptx")
    with ZipFile(whole) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if not name.endswith("slide2.xml")}
    document = parse(builder.write_zip(tmp_path / "b.pptx", dict(parts)))
    assert document.pages[0] == ""
    assert document.pages[1].startswith("Figures")
    assert document.warnings == ["Slide 1 (ppt/slides/slide2.xml) is missing or damaged."]
