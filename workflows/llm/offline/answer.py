"""The offline model's answers: figures, sentences and reports from earlier steps, and default arguments for tools."""

import re
from dataclasses import dataclass
from typing import Any

from workflows.errors import PermanentError
from workflows.llm.offline.figures import describe
from workflows.llm.offline.prose import Passage, find_passages, most_telling
from workflows.llm.offline.tables import find_tables

NOTICE = "*Built-in offline model: extracts, does not reason.*"
SENTENCES = 6
MAX_TABLES = 5
MAX_FACTS = 15
MAX_COPIED = 20_000
_REPORT = re.compile(r"report|summar|write|bericht|zusammenfass|schreib|rapport|informe|resum", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """The output of an earlier step. With `by_model` its text was written by a model."""

    name: str
    output: Any
    by_model: bool = False


def answer(step: str, description: str, workflow: str, workflow_description: str, sources: list[Source]) -> str:
    """Returns Markdown. A step that asks for a report combines the earlier results. Any other step summarizes them."""
    if not sources:
        return _nothing_to_extract(step, description)
    is_report = bool(_REPORT.search(f"{step} {description}"))
    sections = [_section(source, f"{step} {description}", is_report) for source in sources]
    if not is_report:
        body = [content if len(sources) == 1 else f"## {name}\n\n{content}" for name, content in sections]
        return "\n\n".join([NOTICE, *body])
    head = [f"# {workflow or step}", NOTICE, workflow_description]
    body = [f"## {name}\n\n{content}" for name, content in sections]
    return "\n\n".join(part for part in [*head, *body] if part)


def default_arguments(tool: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the defaults of the tool's JSON schema. Raises `arguments_needed` if it has required arguments."""
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", []) if "default" not in properties.get(name, {})]
    if missing:
        raise PermanentError(
            f"The built-in offline model cannot choose the arguments of {tool}: give the step"
            f' "arguments" with {", ".join(missing)}, or set OPENAI_API_KEY or OPENAI_BASE_URL.',
            code="arguments_needed",
        )
    return {name: known["default"] for name, known in properties.items() if known.get("default") is not None}


def _nothing_to_extract(step: str, description: str) -> str:
    return "\n\n".join(
        [
            NOTICE,
            f"No step before “{step}” gave it anything to extract from, and its task was not carried out:",
            f"> {description or step}",
            "Set OPENAI_API_KEY, or OPENAI_BASE_URL, to have a language model do it.",
        ]
    )


def _section(source: Source, question: str, is_report: bool) -> tuple[str, str]:
    """The step's name and its summary. A report takes a text by a model whole; the rest are figures and sentences."""
    text = source.output.get("text") if isinstance(source.output, dict) else None
    if is_report and source.by_model and isinstance(text, str):
        return source.name, _copied(text)
    tables = find_tables(source.output)[:MAX_TABLES]
    figures = [_titled(table.path, describe(table, question), len(tables)) for table in tables]
    parts = [*figures, _sentences(find_passages(source.output), question)]
    summary = "\n\n".join(part for part in parts if part)
    return source.name, summary or _facts(source.output)


def _titled(path: str, figures: str, count: int) -> str:
    return f"{path}: {figures}" if count > 1 and path else figures


def _sentences(passages: list[Passage], question: str) -> str:
    """A list of quotations, with file and page if they are known. Short text is not changed."""
    found = most_telling(passages, question, SENTENCES)
    if not found:
        return "\n\n".join(passage.text[:1000] for passage in passages[:SENTENCES])
    return "\n".join(f"- {sentence.text}" + (f" ({sentence.source})" if sentence.source else "") for sentence in found)


def _copied(text: str) -> str:
    """An earlier answer inside this one: headings one level lower, without its notice."""
    lines = text.replace(NOTICE, "").strip()[:MAX_COPIED].splitlines()
    lowered = [f"#{line}" if re.match(r"#{1,5} ", line) else line for line in lines]
    cut = "\n\n[…]" if len(text) > MAX_COPIED else ""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lowered)).strip() + cut


def _facts(output: Any) -> str:
    """The plain values of an object that has neither tables nor text."""
    if not isinstance(output, dict):
        return f"`{str(output)[:200]}`" if output is not None else "Nothing."
    plain = {name: value for name, value in output.items() if not isinstance(value, dict | list)}
    lines = [f"- {name}: {str(value)[:200]}" for name, value in list(plain.items())[:MAX_FACTS]]
    return "\n".join(lines) or "Nothing that this model can read."
