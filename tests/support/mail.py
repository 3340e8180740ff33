"""Questions that are mailed, and the keys in their links."""

import re
import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User

from aiworkstation.audit.models import AuditCursor, AuditEvent
from mail.models import Mail
from mail.questions import Questions
from tests.servers.smtp_server import Received
from tests.support.jobs import WORKER, claim
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

CURSOR = "mail.questions"


def asked(owner: User, **arguments: Any) -> WorkflowStep:
    """A step that waits for an answer."""
    Questions().do()  # begins at the end of the audit trail
    given = {"question": "Send the offer?", "show": {"customer": "Acme", "amount": 100}, **arguments}
    step = NewStep("ask", tool="APPROVAL", arguments=given, description="my secret notes")
    id = engine.start(NewExecution(owner.pk, "workflow", "plan", [step]), actor=owner.username)
    (held,) = claim(id)
    engine.ask(held, given["question"], given.get("group", ""))
    turn(WORKER, [Outcome.asked(held, 3600)], [])
    return WorkflowExecution.objects.get(pk=id).steps.get()


def post_questions(do: Callable[[], object] | None = None) -> int:
    """Runs the duty until it has seen every event. Other tests' transactions on the server delay it."""
    do = do or Questions().do
    before, deadline = Mail.objects.count(), time.monotonic() + 240
    last = AuditEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    while AuditCursor.objects.get(pk=CURSOR).last_id < last:
        do()
        assert time.monotonic() < deadline, "a transaction has been open too long"
        time.sleep(0.02)
    return Mail.objects.count() - before


def key_in(received: Received) -> str:
    found = re.search(r"/answer\?key=(\S+)", received.body)
    assert found is not None
    return found[1]
