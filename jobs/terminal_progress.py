"""Shows a job's progress in the terminal until the job is finished.

Progress goes to standard error, so that standard output contains only results.
"""

import time
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.display import Job, describe_jobs
from workflows.models import WorkflowExecution

POLL_SECONDS = 0.5
WIDTH = 60


class ProgressConsole(Console):
    """If nobody reads standard error any more, the command continues without showing progress."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        self.quiet = True


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def follow(execution_id: UUID, console: Console) -> Job:
    """Returns the job when it is finished. KeyboardInterrupt ends only the display: the job continues."""
    with progress_bar(console) as bar:
        task = bar.add_task("")
        while True:
            (job,) = describe_jobs([WorkflowExecution.objects.select_related("owner").get(pk=execution_id)])
            progress = job.progress
            bar.update(task, total=progress.total, completed=progress.finished, description=_description(job))
            if job.is_finished:
                return job
            time.sleep(POLL_SECONDS)


def _description(job: Job) -> str:
    """Says why the job is not running, or shows a running step's message."""
    finished = job.status if job.is_finished else ""
    text = finished or job.waiting_for or job.progress.message or job.status
    return escape(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")
