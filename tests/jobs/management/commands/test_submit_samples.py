"""`manage.py submit_samples`"""

from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from documents.models import Document
from documents.tools import DocumentRead, ReadArguments
from jobs.sample_jobs import submit
from workflows.errors import TryLater
from workflows.models import WorkflowExecution
from workflows.tools import StepContext


def test_it_works(alice: User, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    out = StringIO()
    call_command("submit_samples", "--user", "alice", stdout=out)
    ingestion, workflow = WorkflowExecution.objects.order_by("created_at")
    assert (ingestion.job_type, ingestion.queue, ingestion.owner) == ("bulk-documents", "low", alice)
    assert (workflow.job_type, workflow.steps_total, workflow.model_id) == ("workflow", 3, "")
    assert str(workflow.pk) in out.getvalue()
    ids = set(Document.objects.values_list("client_id", flat=True))
    assert len(ids) == ingestion.steps_total == 6
    assert all(id.startswith("sample-") for id in ids)
    call_command("submit_samples", "--user", "alice", stdout=out)
    assert Document.objects.count() == 6
    assert WorkflowExecution.objects.count() == 4


def test_the_workflow_waits_for_what_it_reads(alice: User, settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    _, workflow = submit(alice)
    step = workflow.steps.get(index=0)
    context = StepContext(workflow.pk, step.pk, step.name, 1, str(step.pk), alice.pk, alice.username)
    with pytest.raises(TryLater, match=r"contacts.csv is being indexed"):
        DocumentRead().run(context, ReadArguments.model_validate(step.arguments))


def test_no_user(db: None) -> None:
    with pytest.raises(CommandError):
        call_command("submit_samples", "--user", "nobody")
