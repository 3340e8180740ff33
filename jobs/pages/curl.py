"""The API call that starts a job like this one, as a command for a shell."""

import json
from shlex import quote
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from jobs.large_json import LargeJson
from jobs.start import labels_beside_payload
from workflows.models import WorkflowExecution

_DEFAULT_PARALLEL = WorkflowExecution._meta.get_field("max_parallel").default


def curl_command(request: HttpRequest, execution: WorkflowExecution, payload: Any) -> str:
    """A large payload is not repeated: the command then runs the job again by its id."""
    if isinstance(payload, LargeJson):
        return _command(request, reverse("jobs:api_rerun", args=[execution.pk]), {})
    return _command(request, reverse("jobs:api_jobs"), _body(execution, payload))


def _body(execution: WorkflowExecution, payload: Any) -> dict[str, Any]:
    """Options that the payload or the default gives already are left out."""
    body: dict[str, Any] = {"jobType": execution.job_type, "payload": payload, "priority": execution.queue}
    tags, project_id = labels_beside_payload(execution, payload)
    if tags:
        body["tags"] = tags
    if project_id:
        body["projectId"] = project_id
    if execution.max_parallel != _DEFAULT_PARALLEL:
        body["maxParallel"] = execution.max_parallel
    return body


def _command(request: HttpRequest, address: str, body: dict[str, Any]) -> str:
    lines = [
        f"curl {quote(request.build_absolute_uri(address))}",
        '-H "Authorization: Bearer $API_TOKEN"',
        "-H 'Content-Type: application/json'",
        f"-d {quote(json.dumps(body, ensure_ascii=False))}",
    ]
    return " \\\n  ".join(lines)
