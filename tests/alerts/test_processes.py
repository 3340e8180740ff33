"""The web server notices that no worker is alive. Real processes, a real mail server, a real endpoint."""

import json
import socket
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from alerts.models import AlertRule, Kind
from tests.alerts.conftest import OPS
from tests.mail.conftest import smtp as smtp  # the fixture
from tests.servers.smtp_server import SmtpServer
from tests.support.processes import manage, python, wait_for
from tests.webhooks.conftest import Endpoint, hook
from tests.webhooks.conftest import endpoint as endpoint  # the fixture
from webhooks.models import ALERT_TYPES
from workflows.models import Worker

PATIENCE = 240
"""Other tests' transactions on the server delay alerts and webhooks."""

pytestmark = pytest.mark.django_db(transaction=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
def test_no_worker_is_alive(charlie: User, smtp: SmtpServer, endpoint: Endpoint, tmp_path: Path) -> None:
    """Slow: a worker starts, is killed, and counts as dead only after its silence."""
    hook(charlie, endpoint, types=list(ALERT_TYPES))
    AlertRule.objects.create(name="none", kind=Kind.NO_WORKER, limit=1, calm_seconds=0)
    settings = {
        "EMAIL_URL": smtp.url,
        "ALERT_EMAIL": OPS,
        "LEASE_SECONDS": "3",
        "HTTP_ALLOWED_PRIVATE_HOSTS": endpoint.place,
    }
    web = ["-m", "aiworkstation.gate.server", "aiworkstation.asgi:application", "--host", "127.0.0.1"]
    with python(*web, "--port", str(free_port()), log=tmp_path / "web.log", **settings):
        with manage("work", log=tmp_path / "work.log", **settings):
            wait_for(Worker.objects.exists, what="a worker")
        wait_for(lambda: smtp.mails, seconds=PATIENCE, what="the mail")
        wait_for(lambda: endpoint.bodies, seconds=PATIENCE, what="the webhook")
        assert smtp.mails[0].subject == "[AI Workstation] Alert: No worker is alive"
        assert smtp.mails[0].recipients == [OPS]
        with manage("work", log=tmp_path / "work.log", **settings):
            wait_for(lambda: len(smtp.mails) == 2, seconds=PATIENCE, what="the second mail")
            wait_for(lambda: len(endpoint.bodies) == 2, seconds=PATIENCE, what="the second webhook")
    assert smtp.mails[1].subject == "[AI Workstation] Over: No worker is alive"
    assert [json.loads(body)["type"] for body in endpoint.bodies] == ["alert.started", "alert.resolved"]
