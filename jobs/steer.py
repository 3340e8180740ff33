"""Cancels and retries jobs for API clients and agents. Each function raises Conflict if the state does not allow it."""

from django.contrib.auth.models import User

from aiworkstation.web.errors import Conflict
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep


def cancel(user: User, execution: WorkflowExecution) -> None:
    if not engine.cancel(execution.pk, actor=user.username):
        raise Conflict("The job is finished already, so it cannot be cancelled.", code="wrong_state")
    execution.refresh_from_db()


def retry(user: User, execution: WorkflowExecution) -> None:
    if not engine.retry(execution.pk, actor=user.username):
        raise Conflict("Only a job that failed or was cancelled can be retried.", code="wrong_state")
    execution.refresh_from_db()


def retry_step(user: User, execution: WorkflowExecution, step: WorkflowStep) -> None:
    if not engine.retry_step(execution.pk, step.pk, actor=user.username):
        refusal = "Only a step that failed, was skipped or was cancelled can be retried, once its job is finished."
        raise Conflict(refusal, code="wrong_state")
    execution.refresh_from_db()
