"""Every command checks at its start that the parsers of extensions can be imported."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django.fixtures import Settings

from documents.checks import check_parsers


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere", "No module named 'nowhere'"),
        ("def x(:", "SyntaxError"),
        ("raise SystemExit(3)", "ended with 3"),
        (
            "from documents.parsers import register\nclass P: formats = ('pdf',)\nregister(P())",
            "two parsers read pdf",
        ),
    ],
)
def test_a_broken_module_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, source: str, reason: str
) -> None:
    (tmp_path / "broken_parsers.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings.CHILD_MODULES = ["broken_parsers"]
    with pytest.raises(SystemCheckError) as raised:
        call_command("check")
    assert reason in str(raised.value)
    assert "broken_parsers" in str(raised.value)
    assert "EXTRA_APPS" in str(raised.value)


def test_sound_modules_pass(settings: Settings) -> None:
    settings.CHILD_MODULES = ["tests.example.parsers"]
    assert check_parsers() == []
