"""The tool of bulk actions: each step processes a slice of the selected jobs, one after another.

It acts as the owner of the bulk job, and only on jobs that this user may see. The event `job.bulk_action` is written in
the transaction of each act. So a slice that runs again, after a crash or a retry, repeats none of them.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from pydantic import Field
from rest_framework.exceptions import ValidationError

from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.record import record
from aiworkstation.web.errors import Conflict
from jobs.rerun import plan_rerun, start_rerun
from workflows import engine
from workflows.models import Queue, WorkflowExecution, WorkflowStep
from workflows.tools import Arguments, StepContext, Tool, register
from workflows.worker.threads import in_thread

EVENT = "job.bulk_action"
Action = Literal["cancel", "retry", "rerun", "delete", "priority"]
Result = Literal["done", "skipped", "failed"]

_actors = ThreadPoolExecutor(2, thread_name_prefix="bulk")


class BulkActionArguments(Arguments):
    action: Action
    job_ids: list[UUID] = Field(alias="jobIds")
    priority: Queue | None = None


@register
class BulkAction(Tool):
    """Its output counts the jobs of this slice and of the slices before it."""

    slug = "JOBS_BULK_ACTION"
    description = "Cancels, retries, reruns, deletes or prioritizes jobs."
    is_internal = True
    Arguments: ClassVar[type[Arguments]] = BulkActionArguments

    async def run(self, context: StepContext, arguments: BulkActionArguments) -> dict[str, int]:
        """A cancelled slice stops after the job that it is processing."""
        counts = await in_thread(_actors, _counts_before, context)
        for number, id in enumerate(arguments.job_ids):
            context.report(100 * number // len(arguments.job_ids), f"{sum(counts.values())} jobs processed")
            counts[await in_thread(_actors, _treat, context, arguments, id)] += 1
        return {name: counts[name] for name in ("done", "skipped", "failed")}


def _counts_before(context: StepContext) -> Counter[str]:
    step = WorkflowStep.objects.only("index").get(pk=context.step_id)
    before = WorkflowStep.objects.filter(execution=context.execution_id, index=step.index - 1).first()
    return Counter(before.output if before else {})


def _treat(context: StepContext, arguments: BulkActionArguments, id: UUID) -> Result:
    """`skipped`: the job does not exist any more, or its state does not allow the action."""
    user = User.objects.get(pk=context.owner_id)
    jobs = WorkflowExecution.objects.select_related("owner").visible_to(user)
    changes = {"action": arguments.action, "bulkJob": str(context.execution_id)}
    try:
        with transaction.atomic():
            # Lock first, as every verb does: a worker that was taken for dead may still be processing the job.
            job = jobs.select_for_update(of=("self",)).filter(pk=id).first()
            if AuditEvent.objects.filter(execution_id=id, action=EVENT, changes=changes).exists():
                return "done"
            if job is None or not _acts(arguments, actor=user.username)[arguments.action](job):
                return "skipped"
            record(user, EVENT, f"job:{id}", changes, execution_id=id)
    except Conflict:
        return "skipped"
    except ValidationError:
        return "failed"
    return "done"


def _acts(arguments: BulkActionArguments, *, actor: str) -> dict[Action, Callable[[WorkflowExecution], Any]]:
    return {
        "cancel": lambda job: engine.cancel(job.pk, actor=actor),
        "retry": lambda job: engine.retry(job.pk, actor=actor),
        "rerun": lambda job: start_rerun(plan_rerun(job, {}), actor=actor),
        "delete": lambda job: engine.delete(job.pk, actor=actor),
        "priority": lambda job: engine.prioritize(job.pk, arguments.priority or Queue.NORMAL, actor=actor),
    }
