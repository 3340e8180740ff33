"""`manage.py run_workflow FILE.json`"""

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from rest_framework.exceptions import APIException

from aiworkstation.access.command_user import BAD_INPUT, FAILED, INTERRUPTED, get_command_user
from aiworkstation.web.parsers import JSONParser
from jobs.display import Job, last_steps
from jobs.pages.forms import error_lines
from jobs.start import start
from jobs.terminal_progress import ProgressConsole, follow
from workflows.models import ExecutionStatus, StepStatus, WorkflowExecution, WorkflowStep


class Command(BaseCommand):
    help = (
        "Starts the job in a JSON file and shows its progress. The file holds the body of POST /api/jobs, or the"
        " payload of a workflow. Exit codes: 0 completed, 1 failed or cancelled, 2 bad input, 130 interrupted."
        " Ctrl-C leaves the job running."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.json")
        parser.add_argument("--user", default="demo", help="the owner of the job (default: demo)")

    def handle(self, *, file: Path, user: str, **options: Any) -> None:
        execution = self._start(file, user)
        self.stdout.write(f"{execution.name}: {reverse('jobs:job', args=[execution.pk])}")
        try:
            job = follow(execution.pk, ProgressConsole())
        except KeyboardInterrupt:
            page = reverse("jobs:job", args=[execution.pk])
            self.stderr.write(f"The job is still running. You can watch or cancel it at {page}.")
            sys.exit(INTERRUPTED)
        self._print_result(job)

    def _start(self, file: Path, username: str) -> WorkflowExecution:
        owner = get_command_user(username)
        try:
            with file.open("rb") as stream:
                body = JSONParser().parse(stream)
            if isinstance(body, dict) and "jobType" not in body and "steps" in body:
                body = {"jobType": "workflow", "payload": body}
            execution, _ = start(owner, body)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=BAD_INPUT) from error
        except APIException as error:
            raise CommandError("\n".join(error_lines(error)), returncode=BAD_INPUT) from error
        return execution

    def _print_result(self, job: Job) -> None:
        """Prints the last step's output, the failed steps and the status."""
        execution = WorkflowExecution.objects.get(pk=job.id)
        for step in WorkflowStep.objects.filter(pk__in=last_steps([execution]).values()):
            if step.output is not None:
                self.stdout.write(_output_text(step.output))
        failed = WorkflowStep.objects.filter(execution=job.id, status=StepStatus.FAILED)
        for name, error in failed.order_by("index").values_list("name", "error"):
            self.stderr.write(f"{name}: {error['message'] if error else 'failed'}")
        progress = job.progress
        summary = f"{job.status}: {progress.completed} of {progress.total} steps completed"
        if progress.failed:
            summary += f", {progress.failed} failed"
        if job.status != ExecutionStatus.COMPLETED:
            raise CommandError(summary, returncode=FAILED)
        self.stdout.write(summary)


def _output_text(output: Any) -> str:
    """Returns a model's text unchanged, and any other output as JSON."""
    if isinstance(output, dict) and isinstance(output.get("text"), str):
        return str(output["text"])
    return json.dumps(output, ensure_ascii=False, indent=2)
