"""The scopes that each address of the API needs, by method. A test fails for an address that is not here.

The scope `admin` is not among these: with it, a token of a staff user reaches other users' objects, as the user does.
"""

from collections.abc import Mapping

READ = {"GET": "read"}
RUN = {"POST": "run"}
NOBODYS: Mapping[str, str] = {}
"""An address that takes no API token."""

API_SCOPES: dict[str, Mapping[str, str]] = {
    "api/documents": {"GET": "read", "POST": "documents"},
    "api/documents/<str:id>": {"GET": "read", "DELETE": "documents"},
    "api/documents/<str:id>/chunks": READ,
    "api/documents/<str:id>/file": READ,
    "api/documents/<str:id>/preview": READ,
    "api/documents/<str:id>/text": READ,
    "api/search": READ,
    "api/metrics/dashboard": READ,
    "api/metrics/jobs": READ,
    "api/modes": READ,
    "api/tools": READ,
    "api/jobs": {"GET": "read", "POST": "run"},
    "api/jobs/bulk": RUN,
    "api/jobs/<str:job_id>": {"GET": "read", "DELETE": "run"},
    "api/jobs/<str:job_id>/cancel": RUN,
    "api/jobs/<str:job_id>/events": READ,
    "api/jobs/<str:job_id>/failures.csv": READ,
    "api/jobs/<str:job_id>/output": READ,
    "api/jobs/<str:job_id>/payload": READ,
    "api/jobs/<str:job_id>/rerun": RUN,
    "api/jobs/<str:job_id>/retry": RUN,
    "api/jobs/<str:job_id>/steps": READ,
    "api/jobs/<str:job_id>/steps/<str:step_id>": READ,
    "api/jobs/<str:job_id>/steps/<str:step_id>/arguments": READ,
    "api/jobs/<str:job_id>/steps/<str:step_id>/output": READ,
    "api/jobs/<str:job_id>/steps/<str:step_id>/retry": RUN,
    "api/jobs/<str:job_id>/steps/<str:step_id>/approve": RUN,
    "api/jobs/<str:job_id>/steps/<str:step_id>/reject": RUN,
    "api/workflows": {"GET": "read", "POST": "run"},
    "api/workflows/<str:name>": {"GET": "read", "PUT": "run", "DELETE": "run"},
    "api/workflows/<str:name>/versions": READ,
    "api/workflows/<str:name>/runs": RUN,
    "api/schedules": {"GET": "read", "POST": "run"},
    "api/schedules/<str:schedule_id>": {"GET": "read", "PATCH": "run", "DELETE": "run"},
    "api/schedules/<str:schedule_id>/run": RUN,
    # A webhook sends out what its owner can read, so it needs `read` too.
    "api/webhooks": {"GET": "read", "POST": "read run"},
    "api/webhooks/<str:id>": {"GET": "read", "PATCH": "read run", "DELETE": "read run"},
    "api/webhooks/<str:id>/test": {"POST": "read run"},
    "api/webhooks/<str:id>/rotate-secret": {"POST": "read run"},
    "api/webhooks/<str:id>/deliveries": READ,
    "api/webhooks/<str:id>/deliveries/<str:delivery_id>/resend": {"POST": "read run"},
    "api/workflow/update-execution": NOBODYS,
    "api/workflow/update-step": NOBODYS,
    "mcp": {"POST": ""},  # each tool has its scope: see mcp_server/tools.py
    "^api(?:/.*)?$": NOBODYS,
}
