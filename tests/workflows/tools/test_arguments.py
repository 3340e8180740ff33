"""The arguments of tools."""

from typing import Any, ClassVar

import pytest
from pydantic import Field, ValidationError

from jobs.payloads.tool_arguments import argument_errors
from workflows import tools
from workflows.tools import Arguments


class Inner(Arguments):
    size: int = 7


class Sample(Arguments):
    needed: str
    count: int = 3
    page_size: int = Field(5, alias="pageSize")
    names: list[str] = Field(default_factory=list)
    nothing: int | None = 9
    anything: Any = 1
    inner: Inner = Inner()
    Settings: ClassVar[int] = 0


def test_null_is_an_optional_argument_that_is_left_out() -> None:
    given = {"needed": "x", "count": None, "pageSize": None, "names": None, "inner": {"size": None}}
    assert Sample.model_validate(given) == Sample.model_validate({"needed": "x"})
    assert Sample.model_validate({"needed": "x", "page_size": None}).page_size == 5


def test_null_stays_where_it_is_a_value() -> None:
    found = Sample.model_validate({"needed": "x", "nothing": None, "anything": None})
    assert (found.nothing, found.anything) == (None, None)


@pytest.mark.parametrize(
    "given", [{"needed": None}, {"needed": "x", "unknown": None}, {"needed": "x", "names": [None]}]
)
def test_null_is_refused_elsewhere(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate(given)


@pytest.mark.parametrize("tool", tools.all_tools(), ids=lambda tool: tool.slug)
def test_every_optional_argument_of_every_tool_may_be_null(tool: tools.Tool) -> None:
    fields = tool.Arguments.model_fields
    nulls: dict[str, Any] = {field.alias or name: None for name, field in fields.items() if not field.is_required()}
    if tool.slug == "EXTERNAL_WORKER":
        nulls["worker"] = "printer"  # one of two is needed
    errors = argument_errors(tool.slug, nulls)
    assert not isinstance(errors, list)
    assert not set(errors) & set(nulls)
