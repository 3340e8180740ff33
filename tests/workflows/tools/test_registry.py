"""A new tool is one file in workflows/tools."""

import sys
from pathlib import Path

import pytest

from workflows import tools
from workflows.tools import registry

NEW_TOOL = """
from workflows.tools import Tool, register

@register
class NewTool(Tool):
    slug = "NEW_TOOL"
    description = "Does nothing."
"""


def test_a_file_in_the_package_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new_tool.py").write_text(NEW_TOOL)
    monkeypatch.setattr(tools, "__path__", [str(tmp_path)])
    monkeypatch.setattr(registry, "_registry", {})
    monkeypatch.delitem(sys.modules, "workflows.tools.new_tool", raising=False)
    tools.import_builtin_tools()
    found = tools.get("NEW_TOOL")
    assert found is not None
    assert found.description == "Does nothing."


def test_two_tools_cannot_have_one_slug() -> None:
    class Other(tools.Tool):
        slug = "HTTP_REQUEST"
        description = "Another one."

    with pytest.raises(ValueError, match="two tools are named HTTP_REQUEST"):
        tools.register(Other)
