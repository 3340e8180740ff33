"""Forms whose captions and values are in XML."""

from pathlib import Path

import pytest

from documents.parsers import ParsedDocument
from documents.parsers.pdf.parser import PdfParser
from tests.documents.parsers.pdf.pdf_files import pdf_file, stream

NOTICE = "Please wait... If this message is not eventually replaced by the proper contents"
XDP = '<?xml version="1.0"?><xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/">'
CONFIG = '<config xmlns="http://www.xfa.org/schema/xci/2.8/"><present><template/></present></config>'
TEMPLATE = """<template xmlns="http://www.xfa.org/schema/xfa-template/3.0/"><subform name="form">
<draw><value><text>Feeding plan</text></value></draw>
<draw><value><exData contentType="text/html"><body><p>To be <b>signed</b></p></body></exData></value></draw>
<draw presence="hidden"><value><text>Not to be seen</text></value></draw>
<draw><value><image>iVBORw0KGgo</image></value></draw>
<field name="keeper"><caption><value><text>Keeper</text></value></caption></field>
<field name="place"><assist><toolTip>Place of work</toolTip></assist><bind match="dataRef" ref="$.home.place"/></field>
<field name="kind"><ui><choiceList/></ui><caption><value><text>Kind</text></value></caption>
  <items save="1"><text>1</text><text>2</text></items><items><text>pelican</text><text>heron</text></items></field>
<field name="fed"><ui><checkButton/></ui><caption><value><text>Fed?</text></value></caption>
  <items><text>yes</text></items></field>
<field name="ready"><value><text>from the form</text></value></field>
<subform name="row"><field name="day"><caption><value><text>Day</text></value></caption></field>
  <field name="fish"><caption><value><text>Fish</text></value></caption></field></subform>
<exclGroup name="size"><field><caption><value><text>small</text></value></caption><items><text>s</text></items></field>
  <field><caption><value><text>large</text></value></caption><items><text>l</text></items></field></exclGroup>
</subform></template>"""
DATA = """<xfa:datasets xmlns:xfa="http://www.xfa.org/schema/xfa-data/1.0/"><xfa:data><form><keeper>Riverton-Smith</keeper>
<home><place>Saltmarsh</place></home><kind>2</kind><fed>yes</fed><row><day>Monday</day><fish>12</fish></row>
<row><day>Tuesday</day><fish>9</fish></row><size>l</size><remark>No herring</remark></form></xfa:data></xfa:datasets>"""
WANTED = [
    "Feeding plan",
    "To be signed",
    "Keeper: Riverton-Smith",
    "Place of work: Saltmarsh",
    "Kind: heron",
    "Fed? yes",
    "from the form",
    "Day: Monday",
    "Fish: 12",
    "Day: Tuesday",
    "Fish: 9",
    "large",
    "remark: No herring",
]


def _form(folder: Path, *packets: str, text: str = NOTICE, is_dynamic: bool = True) -> ParsedDocument:
    names = ("preamble", "config", "template", "datasets", "postamble")
    numbered = range(30, 30 + len(packets))
    listed = " ".join(f"({name}) {number} 0 R" for name, number in zip(names, numbered, strict=False))
    xfa = "30 0 R" if len(packets) == 1 else f"[{listed}]"
    needs = "/NeedsRendering true" if is_dynamic else ""
    objects = {
        1: f"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[]/XFA {xfa}>>{needs}>>".encode(),
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 900 400]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        4: stream(f"BT /F1 12 Tf 50 350 Td ({text}) Tj ET".encode()),
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        **{number: stream(packet.encode()) for number, packet in zip(numbered, packets, strict=True)},
    }
    path = folder / "form.pdf"
    path.write_bytes(pdf_file(objects))
    return PdfParser().parse(path, lambda done, total: None)


def test_captions_and_values(tmp_path: Path) -> None:
    document = _form(tmp_path, XDP + CONFIG + TEMPLATE + DATA + "</xdp:xdp>")
    assert document.pages[0].splitlines() == WANTED
    assert document.warnings == []


def test_a_form_in_pieces(tmp_path: Path) -> None:
    document = _form(tmp_path, XDP, CONFIG, TEMPLATE, DATA, "</xdp:xdp>")
    assert document.pages[0].splitlines() == WANTED


def test_a_form_with_xml_that_is_slightly_wrong(tmp_path: Path) -> None:
    data = DATA.replace("No herring", "Fish & chips")
    document = _form(tmp_path, XDP, CONFIG, TEMPLATE, data, "</xdp:xdp>")
    assert "Keeper: Riverton-Smith" in document.pages[0]
    assert "chips" in document.pages[0]


def test_values_without_a_template(tmp_path: Path) -> None:
    document = _form(tmp_path, XDP + DATA + "</xdp:xdp>")
    assert "keeper: Riverton-Smith" in document.pages[0]


def test_a_form_with_pages_of_its_own(tmp_path: Path) -> None:
    """The pages have the words, so only what they lack is added."""
    shown = "Feeding plan To be signed Keeper Riverton-Smith"
    document = _form(tmp_path, XDP + TEMPLATE + DATA + "</xdp:xdp>", text=shown, is_dynamic=False)
    assert document.pages[0].splitlines() == [shown, *WANTED[3:]]


@pytest.mark.parametrize("packet", ["", "no XML", XDP + CONFIG + "</xdp:xdp>"])
def test_a_form_that_cannot_be_read_is_a_warning(tmp_path: Path, packet: str) -> None:
    document = _form(tmp_path, packet)
    assert document.warnings == ["The form (XFA) in the file could not be read: print it to a PDF and upload that."]
