"""The offline model's answers: figures, sentences and reports from the steps before; default arguments."""

import re
from dataclasses import dataclass
from typing import Any

from workflows.errors import PermanentError
from workflows.llm.offline.figures import describe
from workflows.llm.offline.prose import Passage, find_passages, telling
from workflows.llm.offline.tables import find_tables

NOTICE = "*Built-in offline model: extracts, does not reason.*"
SENTENCES = 6
MAX_TABLES = 5
MAX_FACTS = 15
MAX_COPIED = 20_000
_REPORT = re.compile(r"report|summar|write|bericht|zusammenfass|schreib|rapport|informe|resum", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """What a step before this one gave. `by_model` says that its text was composed, not extracted from."""

    name: str
    output: Any
    by_model: bool = False


def answer(step: str, description: str, workflow: str, workflow_description: str, sources: list[Source]) -> str:
    """Markdown. A step that is to report puts the others together; any other one gets what they tell."""
    if not sources:
        return _nothing(step, description)
    is_report = bool(_REPORT.search(f"{step} {description}"))
    sections = [_section(source, f"{step} {description}", is_report) for source in sources]
    if not is_report:
        body = [content if len(sources) == 1 else f"## {name}\n\n{content}" for name, content in sections]
        return "\n\n".join([NOTICE, *body])
    head = [f"# {workflow or step}", NOTICE, workflow_description]
    body = [f"## {name}\n\n{content}" for name, content in sections]
    return "\n\n".join(part for part in [*head, *body] if part)


def default_arguments(tool: str, schema: dict[str, Any]) -> dict[str, Any]:
    """What the tool's JSON schema gives by itself. Raises `arguments_needed` where that is not enough."""
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", []) if "default" not in properties.get(name, {})]
    if missing:
        raise PermanentError(
            f"The built-in offline model cannot choose the arguments of {tool}: give the step"
            f' "arguments" with {", ".join(missing)}, or set OPENAI_API_KEY or OPENAI_BASE_URL.',
            code="arguments_needed",
        )
    return {name: told["default"] for name, told in properties.items() if told.get("default") is not None}


def _nothing(step: str, description: str) -> str:
    return "\n\n".join(
        [
            NOTICE,
            f"No step before “{step}” gave it anything to extract from, and its task was not carried out:",
            f"> {description or step}",
            "Set OPENAI_API_KEY, or OPENAI_BASE_URL, to have a language model do it.",
        ]
    )


def _section(source: Source, question: str, is_report: bool) -> tuple[str, str]:
    """The step's name and what it tells: in a report a composed text as it is, else figures and sentences."""
    text = source.output.get("text") if isinstance(source.output, dict) else None
    if is_report and source.by_model and isinstance(text, str):
        return source.name, _copied(text)
    tables = find_tables(source.output)[:MAX_TABLES]
    figures = [_titled(table.path, describe(table, question), len(tables)) for table in tables]
    parts = [*figures, _sentences(find_passages(source.output), question)]
    told = "\n\n".join(part for part in parts if part)
    return source.name, told or _facts(source.output)


def _titled(path: str, figures: str, count: int) -> str:
    return f"{path}: {figures}" if count > 1 and path else figures


def _sentences(passages: list[Passage], question: str) -> str:
    """A quotation list, each with its file and page where they are known; short text as it is."""
    found = telling(passages, question, SENTENCES)
    if not found:
        return "\n\n".join(passage.text[:1000] for passage in passages[:SENTENCES])
    return "\n".join(f"- {sentence.text}" + (f" ({sentence.source})" if sentence.source else "") for sentence in found)


def _copied(text: str) -> str:
    """An earlier answer inside this one: its headings a level lower, its notice not twice."""
    lines = text.replace(NOTICE, "").strip()[:MAX_COPIED].splitlines()
    lowered = [f"#{line}" if re.match(r"#{1,5} ", line) else line for line in lines]
    cut = "\n\n[…]" if len(text) > MAX_COPIED else ""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lowered)).strip() + cut


def _facts(output: Any) -> str:
    """An object's plain values, where it holds neither a table nor text."""
    if not isinstance(output, dict):
        return f"`{str(output)[:200]}`" if output is not None else "Nothing."
    plain = {name: value for name, value in output.items() if not isinstance(value, dict | list)}
    lines = [f"- {name}: {str(value)[:200]}" for name, value in list(plain.items())[:MAX_FACTS]]
    return "\n".join(lines) or "Nothing that this model can read."
