"""Watching a job from the command line until it ends."""

import time
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.displayed_job import Job, describe
from workflows.models import WorkflowExecution

POLL_SECONDS = 0.5
WIDTH = 60


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def follow(execution_id: UUID, console: Console) -> Job:
    """The job when it is finished. KeyboardInterrupt ends the watching, not the job."""
    with progress_bar(console) as bar:
        task = bar.add_task("")
        while True:
            (job,) = describe([WorkflowExecution.objects.get(pk=execution_id)])
            total, done = job.execution.steps_total, job.execution.steps_finished
            bar.update(task, total=total, completed=done, description=_line(job))
            if job.execution.is_finished:
                return job
            time.sleep(POLL_SECONDS)


def _line(job: Job) -> str:
    """What it waits for, or what its steps say."""
    finished = job.execution.status if job.execution.is_finished else ""
    text = finished or job.waiting_for or job.progress.message or job.execution.status
    return escape(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")
