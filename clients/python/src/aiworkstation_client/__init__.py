"""Client of AI Workstation's API.

    from aiworkstation_client import Client

    with Client() as client:  # AIW_URL, AIW_TOKEN
        job = client.start_workflow("Hello", [{"name": "Greet", "description": "Say hello."}])
        print(client.wait(job).output["text"])

`AsyncClient` has the same methods as coroutines.
"""

from aiworkstation_client.async_client import AsyncClient
from aiworkstation_client.calls import (
    DocumentFilter,
    Ingestion,
    JobFilter,
    JobOptions,
    NewStep,
    RunOptions,
    StartOptions,
)
from aiworkstation_client.errors import (
    AiwError,
    ApiError,
    BadAnswer,
    BadRequest,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ErrorItem,
    FileChanged,
    Forbidden,
    JobFailed,
    NotAuthenticated,
    NotFound,
    ServerError,
    Throttled,
    TooLarge,
    UploadsFailed,
    WaitTimedOut,
)
from aiworkstation_client.models import (
    Approval,
    Attempt,
    Chunk,
    Document,
    DryBulk,
    DryRerun,
    Event,
    Failure,
    Found,
    Job,
    ModeItem,
    Progress,
    Question,
    Reused,
    SearchAnswer,
    StartedJob,
    Step,
    TextPage,
    ToolItem,
    Usage,
    Workflow,
)
from aiworkstation_client.sync_client import Client
from aiworkstation_client.uploads import FailedUpload, UploadProgress, UploadReport
from aiworkstation_client.version import __version__

__all__ = [
    "AiwError",
    "ApiError",
    "Approval",
    "AsyncClient",
    "Attempt",
    "BadAnswer",
    "BadRequest",
    "Chunk",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "Document",
    "DocumentFilter",
    "DryBulk",
    "DryRerun",
    "ErrorItem",
    "Event",
    "FailedUpload",
    "Failure",
    "FileChanged",
    "Forbidden",
    "Found",
    "Ingestion",
    "Job",
    "JobFailed",
    "JobFilter",
    "JobOptions",
    "ModeItem",
    "NewStep",
    "NotAuthenticated",
    "NotFound",
    "Progress",
    "Question",
    "Reused",
    "RunOptions",
    "SearchAnswer",
    "ServerError",
    "StartOptions",
    "StartedJob",
    "Step",
    "TextPage",
    "Throttled",
    "TooLarge",
    "ToolItem",
    "UploadProgress",
    "UploadReport",
    "UploadsFailed",
    "Usage",
    "WaitTimedOut",
    "Workflow",
    "__version__",
]
