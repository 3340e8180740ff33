"""`/health/live` and `/health/ready`."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from tests.support.jobs import start_job
from workflows.models import Pause, Worker, WorkflowExecution


def ready(client: Client) -> tuple[int, dict[str, Any]]:
    answer = client.get("/health/ready")
    assert answer["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    return answer.status_code, answer.json()


def test_live_needs_no_database(client: Client) -> None:
    """pytest-django fails a test that uses the database without asking for it."""
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert client.head("/health/live").status_code == 200
    assert client.post("/health/live").status_code == 405


def test_ready(client: Client, a_worker: Worker) -> None:
    status, found = ready(client)
    assert (status, found["status"]) == (200, "ready")
    assert sorted(found["checks"]) == ["database", "migrations", "queue", "workers"]
    assert all(check["ok"] and check["detail"] for check in found["checks"].values())


def test_it_is_cheap(client: Client, a_worker: Worker, django_assert_max_num_queries: Any) -> None:
    ready(client)
    with django_assert_max_num_queries(9):
        ready(client)


def test_no_worker(client: Client, a_worker: Worker) -> None:
    Worker.objects.update(last_beat=timezone.now() - timedelta(seconds=100))
    status, found = ready(client)
    assert (status, found["status"]) == (503, "not_ready")
    assert not found["checks"]["workers"]["ok"]
    assert "manage.py work" in found["checks"]["workers"]["detail"]
    assert "100 s ago" in found["checks"]["workers"]["detail"]
    Worker.objects.update(last_beat=timezone.now(), draining=True)
    assert ready(client)[0] == 503


def test_the_age_of_the_oldest_due_job(client: Client, a_worker: Worker, alice: User) -> None:
    start_job(alice)
    WorkflowExecution.objects.update(wake_at=timezone.now() - timedelta(seconds=90))
    status, found = ready(client)
    assert status == 200
    assert "90 s" in found["checks"]["queue"]["detail"]


def test_a_job_that_no_worker_takes(client: Client, a_worker: Worker, alice: User) -> None:
    start_job(alice)
    WorkflowExecution.objects.update(wake_at=timezone.now() - timedelta(minutes=16))
    status, found = ready(client)
    assert (status, found["checks"]["queue"]["ok"]) == (503, False)
    Pause.objects.create(by="charlie")
    assert ready(client)[0] == 200


def test_a_backlog_is_no_reason(client: Client, a_worker: Worker, alice: User) -> None:
    """While every slot is taken, a long queue is work, and not a fault of this process."""
    start_job(alice)
    WorkflowExecution.objects.update(wake_at=timezone.now() - timedelta(hours=5))
    Worker.objects.update(sizes={"async": 0})
    assert ready(client)[0] == 200


@pytest.mark.django_db
def test_a_missing_migration(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs'")
    status, found = ready(client)
    assert (status, found["checks"]["migrations"]["ok"]) == (503, False)
    assert "manage.py prepare" in found["checks"]["migrations"]["detail"]
    assert not found["checks"]["workers"]["ok"]


@pytest.mark.django_db
def test_without_a_database(client: Client) -> None:
    def broken(*arguments: Any) -> None:
        raise DatabaseError("connection to server at 10.0.0.7, user jobs, password hunter2 failed")

    with connection.execute_wrapper(broken):
        status, found = ready(client)
    assert (status, found["status"]) == (503, "not_ready")
    assert not any(check["ok"] for check in found["checks"].values())
    assert "10.0.0.7" not in str(found)
    assert "hunter2" not in str(found)


def test_probes_are_not_redirected_to_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/health/live").status_code == 200
    assert client.get("/login").status_code == 301
