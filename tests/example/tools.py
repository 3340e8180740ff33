"""A tool: its slug, its arguments, what it does."""

from typing import Any

from workflows.tools import Arguments, StepContext, Tool, register


class CountArguments(Arguments):
    text: str
    word: str


@register
class CountWord(Tool):
    slug = "EXAMPLE_COUNT_WORD"
    description = "Counts how often a word occurs in a text."
    slot = "thread"
    Arguments = CountArguments

    def run(self, context: StepContext, arguments: CountArguments) -> dict[str, Any]:
        return {"word": arguments.word, "count": arguments.text.lower().split().count(arguments.word.lower())}
