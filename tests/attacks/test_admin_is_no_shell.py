"""The admin runs no code: django-q2's rows are read-only there, and a schedule starts only functions on a list."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.scheduler import scheduler
from django_q.tasks import async_task, schedule

from aiworkstation.audit.models import AuditEvent
from workflows.worker.maintenance import Maintenance
from workflows.worker.task_process import run_tasks

ALLOWED = "workflows.engine.retention.prune_daily"


@pytest.fixture
def at_root(alice: User, client: Client) -> Client:
    """A superuser, who has every permission."""
    alice.is_staff = alice.is_superuser = True
    alice.save()
    client.force_login(alice)
    return client


@pytest.fixture
def rows(db: None) -> dict[str, Model]:
    now = timezone.now()
    fields = {"func": "os.getpid", "started": now, "stopped": now, "args": (), "kwargs": {}}
    async_task("os.getpid")
    return {
        "schedule": Schedule.objects.create(func=ALLOWED, next_run=now + timedelta(days=1)),
        "success": Task.objects.create(id="a" * 32, name="good", success=True, **fields),
        "failure": Task.objects.create(id="b" * 32, name="bad", success=False, **fields),
        "ormq": OrmQ.objects.get(),
    }


MODELS = ["schedule", "success", "failure", "ormq"]


@pytest.mark.parametrize("model", MODELS)
def test_rows_are_shown_and_not_changed(at_root: Client, rows: dict[str, Model], model: str) -> None:
    row = rows[model]
    before = type(row)._default_manager.filter(pk=row.pk).values().get()
    address = f"/admin/django_q/{model}"
    assert at_root.get(f"{address}/").status_code == 200
    assert 'name="_save"' not in at_root.get(f"{address}/{row.pk}/change/").content.decode()
    form = {"func": "os.system", "args": "'id',", "key": "high", "repeats": -1, "schedule_type": "O"}
    assert at_root.post(f"{address}/add/", form).status_code == 403
    assert at_root.post(f"{address}/{row.pk}/change/", form).status_code == 403
    assert at_root.post(f"{address}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert type(row)._default_manager.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("action", ["resubmit_task", "delete_selected"])
@pytest.mark.parametrize("model", MODELS)
def test_no_action_sends_or_deletes(at_root: Client, rows: dict[str, Model], model: str, action: str) -> None:
    waiting = OrmQ.objects.count()
    page = at_root.get(f"/admin/django_q/{model}/").content.decode()
    assert not re.search(r'name="action"', page)
    at_root.post(f"/admin/django_q/{model}/", {"action": action, "_selected_action": [str(rows[model].pk)]})
    assert OrmQ.objects.count() == waiting
    assert type(rows[model])._default_manager.filter(pk=rows[model].pk).exists()


def test_every_model_of_django_q_in_the_admin_is_read_only(at_root: Client, rf: Any) -> None:
    """A model that a later release of django-q2 registers is noticed."""
    found = {model for model in admin.site._registry if model._meta.app_label == "django_q"}
    assert found == {Schedule, Success, Failure, OrmQ}


@pytest.fixture
def due(transactional_db: None) -> Any:
    """Creates a due schedule without a form."""
    Schedule.objects.all().delete()

    def create(**fields: Any) -> Schedule:
        return Schedule.objects.create(
            **{"schedule_type": Schedule.ONCE, "repeats": -1, "next_run": timezone.now() - timedelta(hours=1), **fields}
        )

    return create


def drain() -> None:
    run_tasks(lambda: None, lambda: False, drain=True)


ATTEMPTS: dict[str, dict[str, Any]] = {
    "the function": {"func": "os.system", "args": "'touch {file}',"},
    "a function of ours that the list lacks": {"func": "pathlib.Path.touch", "args": "'{file}',"},
    "through an allowed module": {
        "func": "workflows.engine.retention.settings.CONFIG.data_dir.touch",
        "args": "",
    },
    "the hook": {"func": ALLOWED, "hook": "os.system"},
    "the hook among the keywords": {"func": ALLOWED, "kwargs": "hook='os.system'"},
    "the hook among the options": {"func": ALLOWED, "kwargs": "q_options={'hook': 'os.system'}"},
    "the chain": {"func": ALLOWED, "kwargs": "chain=[('os.system', ('touch {file}',))]"},
    "the chain among the options": {
        "func": ALLOWED,
        "kwargs": "q_options={'chain': [['os.system', ['touch {file}']]]}",
    },
    "at once, in the scheduler itself": {"func": "os.system", "args": "'touch {file}',", "kwargs": "sync=True"},
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_schedule_runs_nothing_that_is_not_listed(attempt: str, due: Any, tmp_path: Path) -> None:
    target = tmp_path / "file"
    due(**{name: value.replace("{file}", str(target)) for name, value in ATTEMPTS[attempt].items()})
    scheduler(get_broker())
    drain()
    assert not target.exists()
    assert not Task.objects.exists()
    event = AuditEvent.objects.get(action="schedule.refused")
    assert "." in event.changes["functions"][0]


def test_the_other_schedules_continue(due: Any, tmp_path: Path) -> None:
    bad = due(func="os.system", args="'id',", schedule_type=Schedule.DAILY)
    due(func=ALLOWED)
    Maintenance().do_round()
    drain()
    assert Task.objects.get().func == ALLOWED
    bad.refresh_from_db()
    assert bad.next_run > timezone.now()


def test_a_function_on_the_list_runs(due: Any, settings: Any) -> None:
    settings.SCHEDULED_FUNCTIONS = {"math.ceil"}
    schedule("math.ceil", 1.2, next_run=timezone.now() - timedelta(minutes=1))
    scheduler(get_broker())
    drain()
    assert Task.objects.get().result == 2


def test_code_may_start_any_function(transactional_db: None) -> None:
    async_task("math.floor", 3.7)
    drain()
    assert Task.objects.get().result == 3
