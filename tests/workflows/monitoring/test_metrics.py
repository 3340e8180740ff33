"""`/metrics`: who may read it, and what it contains."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows.models import Cooldown, Counter, Pause, Worker, WorkflowExecution, WorkflowStep
from workflows.monitoring import counters
from workflows.monitoring.counters import read_counters, with_name

TOKEN = "0123456789abcdef0123456789abcdef"
Count = Callable[[], int]
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def with_token(settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"metrics_token": TOKEN})


def scrape(client: Client) -> dict[str, float]:
    """The samples by name and labels, as a server of Prometheus reads them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 200), ("127.8.9.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.7", 403), ("", 403)],
)
def test_without_a_token_only_this_machine(db: None, client: Client, address: str, status: int) -> None:
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Via"])
def test_a_proxy_on_this_machine_is_not_this_machine(db: None, client: Client, header: str, settings: Any) -> None:
    """A trusted proxy may say that the client is here, but the client may have written that."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"trusted_proxies": ["127.0.0.1"]})
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


def test_headers_do_not_make_a_caller_local(db: None, client: Client) -> None:
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.7", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer", 401),
        ("Bearer ü", 401),
    ],
)
def test_with_a_token(db: None, with_token: None, client: Client, header: str, status: int) -> None:
    answer = client.get("/metrics", headers={"authorization": header} if header else {})
    assert answer.status_code == status
    assert (answer.get("WWW-Authenticate") == 'Bearer realm="metrics"') == (status == 401)
    assert TOKEN not in answer.content.decode()


def test_staff_and_api_tokens_are_no_metrics_token(with_token: None, at_charlie: Client, as_charlie: Client) -> None:
    assert at_charlie.get("/metrics").status_code == 401
    assert as_charlie.get("/metrics").status_code == 401


def test_the_formats(db: None, client: Client) -> None:
    assert client.get("/metrics")["Content-Type"].startswith("text/plain; version=")
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert answer.content.endswith(b"# EOF\n")


@committed
def test_steps_by_tool_and_outcome(client: Client, alice: User, count_events: Count) -> None:
    complete_all(start_job(alice), {"text": "done"})
    failed = start_job(alice)
    fail(claim(failed.pk)[0])
    count_events()
    found = scrape(client)
    assert found["aiworkstation_steps_total{outcome=completed,tool=model}"] == 2
    assert found["aiworkstation_steps_total{outcome=failed,tool=model}"] == 1
    assert found["aiworkstation_steps_total{outcome=skipped,tool=model}"] == 1
    assert found["aiworkstation_attempts_total{result=completed,tool=model}"] == 2
    assert found["aiworkstation_jobs_total{event=queued,type=workflow}"] == 2
    assert found["aiworkstation_jobs_total{event=completed,type=workflow}"] == 1
    assert found["aiworkstation_jobs_total{event=failed,type=workflow}"] == 1
    assert found["aiworkstation_step_duration_seconds_count{tool=model}"] == 3
    assert found["aiworkstation_step_duration_seconds_bucket{le=+Inf,tool=model}"] == 3
    assert found["aiworkstation_step_duration_seconds_bucket{le=1800.0,tool=model}"] == 3
    assert found["aiworkstation_counting_lag_events{}"] == 0


@committed
def test_every_event_is_counted_once(client: Client, alice: User, count_events: Count) -> None:
    complete_all(start_job(alice))
    assert count_events() > 0
    before = scrape(client)["aiworkstation_steps_total{outcome=completed,tool=model}"]
    assert count_events() == 0
    complete_all(start_job(alice))
    assert scrape(client)["aiworkstation_counting_lag_events{}"] > 0
    count_events()
    assert (before, scrape(client)["aiworkstation_steps_total{outcome=completed,tool=model}"]) == (2, 4)


@committed
def test_batches(alice: User, count_events: Count, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_IDS", 2)
    monkeypatch.setattr(counters, "ROUNDS", 1)
    complete_all(start_job(alice))
    while counted := count_events():
        assert counted <= 2
    assert scrape(client)["aiworkstation_steps_total{outcome=completed,tool=model}"] == 2


@committed
def test_retries_and_deleted_jobs(client: Client, alice: User, count_events: Count) -> None:
    job = start_job(alice)
    fail(claim(job.pk)[0], retryable=True)
    count_events()
    assert scrape(client)["aiworkstation_attempts_total{result=retried,tool=model}"] == 1
    deleted = start_job(alice)
    complete_all(deleted)
    deleted.delete()
    count_events()
    assert scrape(client)["aiworkstation_steps_total{outcome=completed,tool=deleted}"] == 2


@committed
def test_tokens_and_cost(client: Client, alice: User, count_events: Count) -> None:
    usage = {"inputTokens": 10, "outputTokens": 4, "costUsd": "0.25"}
    held = claim(start_job(alice).pk)[0]
    complete(held, {"text": ""}, model="gpt-5", usage=usage)
    held = claim(start_job(alice).pk)[0]
    complete(held, {"text": ""}, model="gpt-5", usage={**usage, "costUsd": None, "outputTokens": "NaN"})
    count_events()
    found = scrape(client)
    assert found["aiworkstation_model_input_tokens_total{model=gpt-5}"] == 20
    assert found["aiworkstation_model_output_tokens_total{model=gpt-5}"] == 4
    assert found["aiworkstation_model_cost_dollars_total{model=gpt-5}"] == 0.25


@committed
def test_labels_are_limited(client: Client, alice: User, count_events: Count, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's name may be any text, so a user could otherwise fill the monitoring system."""
    monkeypatch.setattr(counters, "MAX_VALUES", 2)
    for name in ("a", "b", "c", "d", "a"):
        held = claim(start_job(alice).pk)[0]
        complete(held, None, model=name, usage={"inputTokens": 1, "outputTokens": 0, "costUsd": None})
        count_events()
    found = scrape(client)
    assert {key: value for key, value in found.items() if "input_tokens_total" in key} == {
        "aiworkstation_model_input_tokens_total{model=a}": 2,
        "aiworkstation_model_input_tokens_total{model=b}": 1,
        "aiworkstation_model_input_tokens_total{model=other}": 2,
    }


@committed
def test_a_label_may_have_any_character(client: Client, alice: User, count_events: Count) -> None:
    """A provider names its model. A name that was taken apart would be the series of another one, twice."""
    names = ["gpt", "gpt\x1fx", 'gpt\n"{},\\', "gpt ü🦩"]
    for name in names:
        held = claim(start_job(alice).pk)[0]
        complete(held, None, model=name, usage={"inputTokens": 1, "outputTokens": 0, "costUsd": None})
    count_events()
    counted = with_name(read_counters(), "input_tokens")
    assert counted == [((name,), 1) for name in sorted(names)]


def test_the_queue(client: Client, alice: User) -> None:
    start_job(alice)
    start_job(alice, priority="high")
    start_job(alice, delaySeconds=100)
    WorkflowExecution.objects.filter(queue="high").update(wake_at=timezone.now() - timedelta(seconds=50))
    found = scrape(client)
    assert found["aiworkstation_queue_depth{queue=normal}"] == 1
    assert found["aiworkstation_queue_depth{queue=high}"] == 1
    assert found["aiworkstation_queue_depth{queue=low}"] == 0
    assert found["aiworkstation_queue_delayed{queue=normal}"] == 1
    assert found["aiworkstation_queue_oldest_due_seconds{queue=high}"] == pytest.approx(50, abs=20)
    assert found["aiworkstation_queue_oldest_due_seconds{queue=low}"] == 0


def test_workers_and_slots(client: Client, a_worker: Worker, alice: User) -> None:
    claim(start_job(alice).pk)
    WorkflowStep.objects.filter(status="running").update(worker=a_worker.pk)
    found = scrape(client)
    assert found["aiworkstation_workers_alive{}"] == 1
    assert found["aiworkstation_slots{kind=async}"] == 3
    assert found["aiworkstation_slots_busy{kind=async}"] == 1
    assert found["aiworkstation_slots_busy{kind=thread}"] == 0
    Worker.objects.update(last_beat=timezone.now() - timedelta(seconds=100))
    assert scrape(client)["aiworkstation_workers_alive{}"] == 0


def test_cooldowns_and_the_pause(client: Client, db: None) -> None:
    now = timezone.now()
    Cooldown.objects.create(key="model:https://api.example.com:gpt-5", until=now + timedelta(seconds=60))
    Cooldown.objects.create(key="http:over.example.com", until=now - timedelta(seconds=60))
    Pause.objects.create(by="charlie", reason="secret plans")
    found = scrape(client)
    assert found["aiworkstation_cooldowns{kind=model}"] == 1
    assert found["aiworkstation_cooldowns{kind=http}"] == 0
    assert found["aiworkstation_cooldown_longest_seconds{kind=model}"] == pytest.approx(60, abs=20)
    assert found["aiworkstation_paused{}"] == 1
    assert "example.com" not in client.get("/metrics").content.decode()


def test_counters_that_cannot_be_events(db: None, client: Client) -> None:
    """Whatever a row holds, the scrape continues."""
    Counter.objects.create(name="unknown", labels=["x"], value=1)
    assert "unknown" not in client.get("/metrics").content.decode()
