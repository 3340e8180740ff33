"""Mails the questions of steps to the people who may answer them: the job's owner and a group. Staff are not mailed."""

import json
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from aiworkstation.audit.follower import Follower
from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.record import record
from jobs.display import describe_steps
from mail.models import Mail, Purpose
from mail.outbox import is_configured, one_line, quoted, subject_line, unreachable
from workflows.models import WorkflowStep

ACTOR = "mail"
MAX_MAILS = 100
"""How many people are mailed about one question."""
MAX_AN_HOUR = 100
"""How many mails the questions of one user cause in an hour: anybody may ask a group, in any words."""
MAX_ARGUMENTS = 4000
"""Characters of the arguments that a mail shows."""


class Questions:
    """A duty of maintenance (`settings.MAINTENANCE_DUTIES`)."""

    def __init__(self) -> None:
        self._follower = Follower("mail.questions", ["step.approval_requested"], _post_questions)

    def do(self) -> int:
        """Stores mails for new questions. Returns how many. Without a mail server, it does nothing."""
        return self._follower.follow() if is_configured() else 0


def _post_questions(events: list[AuditEvent]) -> int:
    ids = {event.object.removeprefix("step:") for event in events}
    waiting = WorkflowStep.objects.awaiting_approval().filter(pk__in=ids, answer_by__gt=timezone.now())
    return sum(_post_question(step) for step in waiting.select_related("execution__owner").defer("output"))


def _post_question(step: WorkflowStep) -> int:
    """A question that was mailed already is left alone."""
    if Mail.objects.filter(claim=step.token).exists():
        return 0
    people = _people(step)
    skipped = {user.get_username(): reason for user in people if (reason := unreachable(user))}
    reachable = [user for user in people if user.get_username() not in skipped]
    most = min(MAX_MAILS, _left_this_hour(step.execution.owner))
    reason = f"more than {MAX_MAILS} people" if most == MAX_MAILS else f"more than {MAX_AN_HOUR} mails in an hour"
    skipped |= {user.get_username(): reason for user in reachable[most:]}
    mails = [_mail(step, user) for user in reachable[:most]]
    Mail.objects.bulk_create(mails)
    changes: dict[str, Any] = {"to": [user.get_username() for user in reachable[:most]], "skipped": skipped}
    record(ACTOR, "step.question_mailed", f"step:{step.pk}", changes, execution_id=step.execution_id)
    return len(mails)


def _left_this_hour(asker: User) -> int:
    """How many more mails the questions of a user may cause."""
    since = timezone.now() - timedelta(hours=1)
    return max(0, MAX_AN_HOUR - Mail.objects.filter(asker=asker, created_at__gt=since).count())


def _people(step: WorkflowStep) -> list[User]:
    """The owner, then the members of the group."""
    owner = step.execution.owner
    group = (step.approval or {}).get("group")
    members = User.objects.filter(groups__name=group).exclude(pk=owner.pk).order_by("pk") if group else []
    return [owner, *members]


def _mail(step: WorkflowStep, user: User) -> Mail:
    return Mail(
        purpose=Purpose.QUESTION,
        address=user.email,
        subject=subject_line(f"Your answer is needed: {step.name}"),
        body=_body(step, user),
        user=user,
        step_id=step.pk,
        asker=step.execution.owner,
        claim=step.token,
    )


def _body(step: WorkflowStep, user: User) -> str:
    """The text before the link."""
    (shown,) = describe_steps([step])
    assert shown.approval is not None
    assert step.answer_by is not None
    lines = [
        f"The job {one_line(step.execution.name, 200)} of {step.execution.owner.get_username()} waits for an answer.",
        "",
        "Question:",
        quoted(shown.approval.question, 2000),
    ]
    if shown.approval.arguments is not None:
        text = json.dumps(shown.approval.arguments, ensure_ascii=False, indent=2)
        lines += ["", "Arguments:", quoted(text, MAX_ARGUMENTS)]
    lines += [
        "",
        f"The job, if you are signed in: {_page(step, user)}",
        "",
        f"This link is for {user.get_username()} alone. It answers this question without signing in, until",
        f"{_moment(step.answer_by)}. It opens a page with the question, and nothing is answered before you press a",
        "button there. Do not forward it.",
    ]
    return "\n".join(lines)


def _page(step: WorkflowStep, user: User) -> str:
    """The job's page. A member of the group, who may not see the job, has the list of questions."""
    is_visible = WorkflowStep.objects.visible_to(user).filter(pk=step.pk).exists()
    path = reverse("jobs:job", args=[step.execution_id]) if is_visible else reverse("jobs:approvals")
    return f"{settings.CONFIG.public_url}{path}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
