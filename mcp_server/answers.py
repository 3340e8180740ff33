"""What agents read: answers of tools, and errors. What others wrote is fenced, so that an agent takes it for data."""

import json
from typing import Any

from mcp_types import CallToolResult, TextContent

from mcp_server.tools import Answer
from workflows.llm.fence import FENCED, fence, new_nonce

MAX_TEXT = 200_000
"""Characters of one answer. Its tools bound most answers further."""


def result_of(answer: Answer) -> CallToolResult:
    job = answer.job
    return CallToolResult(
        content=[TextContent(text=_text(answer.hint, answer.data))],
        # For programs: values that nobody outside wrote.
        structured_content=None if job is None else {"jobId": str(job.pk), "jobType": job.job_type},
    )


def result_of_errors(errors: list[dict[str, Any]]) -> CallToolResult:
    """An error that the agent can mend. Its detail may quote what others wrote."""
    hint = "The call was refused. Each error has the field in `attr`, and what to do in `detail`."
    return CallToolResult(content=[TextContent(text=_text(hint, {"errors": errors}))], is_error=True)


def _text(hint: str, data: Any) -> str:
    nonce = new_nonce()
    text = json.dumps(data, ensure_ascii=False, default=str)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…"
        hint = f"{hint} The answer was cut after {MAX_TEXT:,} characters: ask for less, or use the REST API.".strip()
    return "\n".join(part for part in (hint, FENCED.format(nonce=nonce), fence(text, nonce)) if part)
