"""A format is one file: the modules of the package and of its sub-packages register themselves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from documents import parsers
from documents.parsers import parser_for, readable_formats, text_files

PARSER = """
from documents.parsers import ParsedDocument, register

class ShoutParser:
    formats = ("shout",)

    def parse(self, path, report):
        return ParsedDocument([path.read_text().upper()])

register(ShoutParser())
"""


@pytest.fixture(params=[parsers, text_files], ids=lambda package: package.__name__)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules belong to the package of parsers, or to one of its sub-packages."""
    package: ModuleType = request.param
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    parsers.load_all.cache_clear()
    yield tmp_path
    parsers._registry.pop("shout", None)
    sys.modules.pop(f"{package.__name__}.shout", None)


def test_a_file_adds_a_format(folder: Path) -> None:
    (folder / "shout.py").write_text(PARSER)
    document = folder / "a.shout"
    document.write_text("hello")
    assert "shout" in readable_formats()
    parser = parser_for("shout")
    assert parser is not None
    assert parser.parse(document, lambda done, total: None).pages == ["HELLO"]


def test_an_unknown_format_has_no_parser() -> None:
    assert parser_for("shout") is None


def test_the_web_server_does_not_load_the_libraries_of_parsers() -> None:
    code = (
        "import sys, django; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns;"
        "import documents.tools, documents.urls;"
        "print({'lxml', 'pypdfium2', 'docx', 'pypdf', 'selectolax', 'bpe_openai'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "set()", run.stdout + run.stderr
