"""docs/clients.md names every method and exception, and every option and exit code of `aiw`."""

import argparse
import re

import aiworkstation_client
import pytest
from aiworkstation_client import Client, calls, command

from aiworkstation import BASE_DIR

PAGE = (BASE_DIR / "docs" / "clients.md").read_text()
PYTHON = PAGE[PAGE.index("## Python") : PAGE.index("## JavaScript")]
METHODS = [name for name, value in vars(Client).items() if callable(value) and not name.startswith("_")]
EXCEPTIONS = [
    name
    for name, value in vars(aiworkstation_client).items()
    if isinstance(value, type) and issubclass(value, aiworkstation_client.AiwError)
]


@pytest.mark.parametrize("name", [*sorted(set(METHODS) - {"close"}), *EXCEPTIONS])
def test_names(name: str) -> None:
    assert re.search(rf"`{name}[`(]", PYTHON)


@pytest.mark.parametrize("name", sorted(calls.JobOptions.__annotations__ | calls.RunOptions.__annotations__))
def test_options_of_new_jobs(name: str) -> None:
    assert f"`{name}`" in PYTHON


def commands() -> dict[str, argparse.ArgumentParser]:
    (subparsers,) = (each for each in command._parser()._actions if isinstance(each, argparse._SubParsersAction))
    return dict(subparsers.choices)


@pytest.mark.parametrize("name", commands())
def test_a_command_with_its_options(name: str) -> None:
    (row,) = (
        line for line in PYTHON.splitlines() if re.match(rf"\|.*`aiw {name} .*\|", line) or f"| `aiw {name}` |" in line
    )
    own = {text for action in commands()[name]._actions for text in action.option_strings if text.startswith("--")}
    common = {"--help", "--json", "--url", "--allow-http"}
    assert {option for option in own - common if f"`{option}`" not in row} == set()
    assert {option for option in common - {"--help"} if f"`{option}`" not in PYTHON} == set()


@pytest.mark.parametrize("code", re.findall(r"^  (\d+) ", command.EXIT_CODES, re.MULTILINE))
def test_exit_codes(code: str) -> None:
    assert f"\n| {code} |" in PYTHON
