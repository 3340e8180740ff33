"""`manage.py work` with outside workers: the whole way, and a runner that is killed while it posts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.jobs.api.callbacks.conftest import Start, outside
from tests.servers.outside_worker import SECRET, OutsideWorker
from tests.support.processes import kill, manage, wait_for
from tests.workflows.worker.test_work import ended
from workflows.models import Worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker() -> Iterator[OutsideWorker]:
    with OutsideWorker() as server:
        yield server


def settings(worker: OutsideWorker, live_server: LiveServer) -> dict[str, str]:
    return {
        "WORKERS": "1",
        "LEASE_SECONDS": "2",
        "STOP_GRACE": "1",
        "CALLBACK_SECRET": SECRET,
        "APP_URL": live_server.url,
        "HTTP_ALLOWED_PRIVATE_HOSTS": worker.place,
    }


def test_it_works(start: Start, worker: OutsideWorker, live_server: LiveServer, tmp_path: Path) -> None:
    execution = start(
        outside("a", url=f"{worker.url}/at-once"),
        outside("b", url=f"{worker.url}/silent-once", arguments={"timeoutSeconds": 3}, depends_on=[0]),
        outside("c", url=f"{worker.url}/progress", depends_on=[1]),
    )
    with manage("work", log=tmp_path / "log", **settings(worker, live_server)):
        assert ended(execution, seconds=90).status == "completed", (tmp_path / "log").read_text()[-2000:]
    a, b, c = execution.steps.order_by("index")
    assert (a.attempt, c.attempt) == (1, 1)
    assert b.attempt >= 2  # more on a busy machine
    assert [task["attempt"] for task in worker.tasks][:3] == [1, 1, 2]


def test_a_runner_that_is_killed_while_it_posts(
    start: Start, worker: OutsideWorker, live_server: LiveServer, tmp_path: Path
) -> None:
    execution = start(outside(url=f"{worker.url}/hold-once"))
    with manage("work", log=tmp_path / "log", **settings(worker, live_server)):
        wait_for(lambda: worker.tasks, what="the request")
        kill(Worker.objects.get(kind="runner").pid)
        assert ended(execution, seconds=90).status == "completed", (tmp_path / "log").read_text()[-2000:]
    step = execution.steps.get()
    assert (step.attempt, step.crashes) == (1, 1)
    first, second = worker.tasks
    assert first == second
    assert len({request["headers"]["webhook-id"] for request in worker.requests}) == 1
