"""What the documents name exists: relative links, headings, paths, and what their examples import."""

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from aiworkstation import BASE_DIR

PAGES = [
    *(BASE_DIR / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((BASE_DIR / "docs").rglob("*.md")),
]
TEXTS = {path: path.read_text(encoding="utf-8") for path in PAGES}
ROOMS = (
    "aiworkstation|alerts|bench|clients|docs|documents|jobs|mail|mcp_server|static|templates|tests|webhooks|workflows"
)

LINK = re.compile(r"\]\(([^)\s]+)\)")
IN_THE_TREE = re.compile(rf"`((?:{ROOMS})/[\w./-]*)`")
EXAMPLE = re.compile(r"^( *)```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def found(pattern: re.Pattern[str]) -> list[tuple[Path, str]]:
    return [(path, match[1]) for path, text in TEXTS.items() for match in pattern.finditer(text)]


def anchors(path: Path) -> set[str]:
    """Those that hosting sites make from headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def imports() -> set[tuple[str, str]]:
    """Module and name of each `from … import …` of the project in an example."""
    examples = [textwrap.dedent(match[2]) for text in TEXTS.values() for match in EXAMPLE.finditer(text)]
    nodes = [node for example in examples for node in ast.walk(ast.parse(example))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names = {(str(node.module), alias.name) for node in froms for alias in node.names}
    return {(module, name) for module, name in names if module.split(".")[0] in ROOMS.split("|")}


def name_of(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("page", "link"), [each for each in found(LINK) if "://" not in each[1]], ids=name_of)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    target, _, anchor = link.partition("#")
    path = page.parent / target if target else page
    assert path.exists()
    if anchor:
        assert anchor in anchors(path)


@pytest.mark.parametrize(("page", "path"), found(IN_THE_TREE), ids=name_of)
def test_paths_exist(page: Path, path: str) -> None:
    assert (BASE_DIR / path).exists()


@pytest.mark.parametrize(("module", "name"), sorted(imports()))
def test_examples_import_what_exists(module: str, name: str) -> None:
    found = importlib.import_module(module)
    assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")


INTERNAL = {"await_ready", "execute_alone", "migrate"}
"""`migrate` has Django's options."""
COMMANDS = {
    path.stem
    for path in BASE_DIR.glob("*/**/management/commands/[a-z]*.py")
    if not path.relative_to(BASE_DIR).parts[0].startswith((".", "tests"))
}


@pytest.mark.parametrize("name", sorted(COMMANDS - INTERNAL))
def test_every_command_is_described_with_its_options(name: str) -> None:
    page = TEXTS[BASE_DIR / "docs" / "command-line.md"]
    rows = [line for line in page.splitlines() if re.match(rf"\|.*`{name}[` ].*\|", line)]
    assert rows
    command = load_command_class(get_commands()[name], name)
    own = command.create_parser("manage.py", name)._actions
    options = {text for action in own for text in action.option_strings if text.startswith("--")}
    common = set(BaseCommand().create_parser("manage.py", name)._option_string_actions)
    assert [option for option in options - common if f"`{option}" not in rows[0] and f" {option}" not in rows[0]] == []


def test_the_table_of_attacks_lists_every_file() -> None:
    folder = BASE_DIR / "tests" / "attacks"
    listed = re.findall(r"^\| `(test_\w+\.py)`", (folder / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(path.name for path in folder.glob("test_*.py"))


def test_the_index_lists_every_page() -> None:
    index = TEXTS[BASE_DIR / "docs" / "index.md"]
    listed = set(re.findall(r"\]\(([\w-]+\.md)", index))
    assert listed == {path.name for path in (BASE_DIR / "docs").glob("*.md")} - {"index.md"}
