"""`manage.py run_workflow FILE.json`"""

import json
import sys
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException
from rich.console import Console

from aiworkstation.web.parsers import JSONParser
from jobs.displayed_job import Job
from jobs.pages.forms import listed
from jobs.start import start
from jobs.terminal_progress import follow
from workflows.models import ExecutionStatus, StepStatus, WorkflowExecution, WorkflowStep

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    help = (
        "Starts the job in a JSON file, the body of POST /api/jobs or the payload of a workflow, and follows it."
        " Exit codes: 0 completed, 1 failed or cancelled, 2 bad input. Ctrl-C leaves the job running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.json")
        parser.add_argument("--user", default="demo", help="whose job it is; demo unless told")

    def handle(self, *, file: Path, user: str, **options: Any) -> None:
        execution = self._start(file, user)
        self.stdout.write(f"{execution.name}: /jobs/{execution.pk}")
        try:
            job = follow(execution.pk, Console(stderr=True))
        except KeyboardInterrupt:
            self.stderr.write(f"The job goes on: /jobs/{execution.pk} shows it, and can cancel it.")
            sys.exit(INTERRUPTED)
        self._sum_up(job)

    def _start(self, file: Path, username: str) -> WorkflowExecution:
        owner = User.objects.filter(username=username).first()
        if owner is None:
            raise CommandError(f"There is no user {username!r}.", returncode=BAD_INPUT)
        try:
            with file.open("rb") as stream:
                body = JSONParser().parse(stream)
            if isinstance(body, dict) and "jobType" not in body and "steps" in body:
                body = {"jobType": "workflow", "payload": body}
            execution, _ = start(owner, body)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=BAD_INPUT) from error
        except APIException as error:
            raise CommandError("\n".join(listed(error)), returncode=BAD_INPUT) from error
        return execution

    def _sum_up(self, job: Job) -> None:
        """The last step's output, what failed, and the end."""
        if job.output is not None:
            self.stdout.write(_readable(job.output))
        failed = WorkflowStep.objects.filter(execution=job.execution, status=StepStatus.FAILED)
        for name, error in failed.order_by("index").values_list("name", "error"):
            self.stderr.write(f"{name}: {error['message'] if error else 'failed'}")
        progress = job.progress
        words = f"{job.execution.status}: {progress.completed} of {progress.total} steps completed"
        if progress.failed:
            words += f", {progress.failed} failed"
        if job.execution.status != ExecutionStatus.COMPLETED:
            raise CommandError(words, returncode=FAILED)
        self.stdout.write(words)


def _readable(output: Any) -> str:
    """A model's text as it is, anything else as JSON."""
    if isinstance(output, dict) and isinstance(output.get("text"), str):
        return str(output["text"])
    return json.dumps(output, ensure_ascii=False, indent=2)
