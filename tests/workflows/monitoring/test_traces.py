"""Traces: one from the request to the model, over processes, in a collector that parses what arrives."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation import BASE_DIR, otel, tracing
from aiworkstation.web.request_trace import RequestTrace
from tests.servers.collector import CollectedSpan, Collector
from tests.servers.model_server import ModelServer, Reply
from tests.support.jobs import start_job
from tests.support.processes import environment, manage, wait_for
from tests.support.runner import work
from workflows.llm import client as llm
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MIDDLEWARE = f"{RequestTrace.__module__}.{RequestTrace.__name__}"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


@pytest.fixture
def collector(settings: Any) -> Iterator[Collector]:
    with Collector() as server:
        settings.CONFIG = settings.CONFIG.model_copy(update={"otel_exporter_otlp_endpoint": server.url})
        settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
        otel._exports.cache_clear()
        yield server
        otel._exports.cache_clear()


def collected(collector: Collector) -> list[CollectedSpan]:
    tracing.flush()
    return collector.spans


def workflow(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"jobType": "workflow", "payload": {"workflowName": "The secret pelican", "steps": list(steps), **more}}


def test_from_the_request_to_the_model(
    collector: Collector, at_alice: Client, model_server: ModelServer, settings: Any
) -> None:
    model_server.script.append(Reply(text="The answer is a pelican."))
    body = workflow({"name": "Ask", "description": "Ask about the pelican."}, modelId="gpt-4o")
    answer = at_alice.post("/api/jobs", body, "application/json", headers={"traceparent": CALLER})
    job = WorkflowExecution.objects.get(pk=answer.json()["jobId"])
    work(job)
    collected(collector)
    request, started = collector.named("POST /api/jobs"), collector.named("job workflow")
    step, model = collector.named("step model"), collector.named("chat gpt-4o")
    assert {span.trace_id for span in (request, started, step, model)} == {CALLER.split("-")[1]}
    assert request.parent_id == CALLER.split("-")[2]
    assert [started.parent_id, step.parent_id, model.parent_id] == [request.span_id, started.span_id, step.span_id]
    assert [request.kind, started.kind, step.kind, model.kind] == [SERVER, PRODUCER, CONSUMER, CLIENT]
    assert job.traceparent == f"00-{started.trace_id}-{started.span_id}-01"
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/jobs",
        "http.response.status_code": 202,
        "aiworkstation.request.id": answer["X-Request-Id"],
    }
    assert started.attributes["aiworkstation.job.id"] == step.attributes["aiworkstation.job.id"] == str(job.pk)
    assert (step.attributes["aiworkstation.step.attempt"], step.attributes["aiworkstation.step.outcome"]) == (
        1,
        "completed",
    )
    wanted = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
    }
    assert wanted.items() <= model.attributes.items()
    assert model.attributes["gen_ai.usage.input_tokens"] > 0
    assert model.attributes["gen_ai.usage.output_tokens"] > 0
    assert not any(span.is_error for span in collector.spans)
    assert {span.service for span in collector.spans} == {"aiworkstation"}


def test_no_text_of_others_is_in_it(
    collector: Collector, at_alice: Client, model_server: ModelServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither names, prompts, arguments and answers, nor the texts of errors, nor secrets."""
    model_server.script += [Reply(text="walrus-answer"), Reply(status=400, error={"message": "walrus-refusal"})]
    odd = {"name": "walrus-odd", "tool": "HTTP_REQUEST", "arguments": {"url": "http://walrus-host.invalid/walrus"}}
    steps = [{"name": f"walrus-{number}", "description": "walrus-prompt"} for number in (1, 2)]
    at_alice.post("/api/jobs", workflow(*steps, odd, modelId="gpt-4o"), "application/json")
    at_alice.get("/api/search?q=walrus-question")
    at_alice.get("/jobs/walrus-path")
    work(WorkflowExecution.objects.get())
    assert len(collected(collector)) >= 5
    assert b"walrus" not in collector.raw
    assert b"alice" not in collector.raw
    assert b"Bearer" not in collector.raw


def test_a_failure_has_its_code(collector: Collector, alice: User, model_server: ModelServer) -> None:
    model_server.script.append(Reply(status=401, error={"message": "no"}))
    job = start_job(alice, payload={"workflowName": "W", "steps": [{"name": "Ask"}], "modelId": "gpt-4o"})
    work(job)
    collected(collector)
    step, model = collector.named("step model"), collector.named("chat gpt-4o")
    assert step.is_error
    assert model.is_error
    assert step.attributes["error.type"] == model.attributes["error.type"] != ""
    assert step.attributes["aiworkstation.step.outcome"] == "failed"


def test_the_offline_model_has_a_span_too(collector: Collector, alice: User) -> None:
    work(start_job(alice, payload={"workflowName": "W", "steps": [{"name": "Say"}]}))
    collected(collector)
    assert collector.named("chat offline").attributes["gen_ai.provider.name"] == "aiworkstation.offline"


def test_embeddings_have_a_span(collector: Collector, model_server: ModelServer) -> None:
    llm.embed(["walrus"], "embed-8")
    (found,) = collected(collector)
    assert (found.name, found.attributes["gen_ai.operation.name"]) == ("embeddings embed-8", "embeddings")
    assert b"walrus" not in collector.raw


def test_probes_and_odd_parents(collector: Collector, client: Client) -> None:
    for path in ("/health/live", "/metrics"):
        client.get(path)
    client.generic("WALRUS" * 100, "/login")
    for parent in ("", "x", "00-zz-zz-zz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", CALLER * 1000):
        assert client.get("/login", headers={"traceparent": parent}).status_code == 200
    found = collected(collector)
    assert [span.name for span in found] == ["_OTHER /login", *["GET /login"] * 5]
    assert len({span.trace_id for span in found}) == 6


def test_a_step_in_another_process(collector: Collector, alice: User, tmp_path: Path) -> None:
    """The worker's processes end without exit handlers, and still send what they have."""
    job = start_job(alice, payload={"workflowName": "W", "steps": [{"name": "Say"}]})
    collected(collector)
    log = tmp_path / "log"
    with manage("work", "--drain", log=log, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, WORKERS="1"):
        wait_for(lambda: any(span.name == "step model" for span in collector.spans), what=log.read_text())
    started, step = collector.named("job workflow"), collector.named("step model")
    assert (step.trace_id, step.parent_id) == (started.trace_id, started.span_id)
    assert step.attributes["aiworkstation.job.id"] == str(job.pk)


def test_an_unreachable_collector_costs_nothing(alice: User, settings: Any) -> None:
    """Its address leads nowhere: a connection is neither accepted nor refused."""
    nowhere = "http://10.255.255.1:4318"
    settings.CONFIG = settings.CONFIG.model_copy(update={"otel_exporter_otlp_endpoint": nowhere})
    otel._exports.cache_clear()
    try:
        began = time.monotonic()
        for _ in range(5000):  # more than the queue of the SDK holds
            with tracing.span("a"):
                pass
        work(start_job(alice, payload={"workflowName": "W", "steps": [{"name": "Say"}]}))
        tracing.flush()
        assert time.monotonic() - began < 30
        assert WorkflowExecution.objects.get().status == "completed"
    finally:
        otel._exports.cache_clear()


def test_without_an_endpoint_nothing_is_imported_or_stored(alice: User) -> None:
    assert not tracing.is_on()
    assert start_job(alice).traceparent == ""
    code = (
        "import django; django.setup()\n"
        "import sys, json; from aiworkstation import tracing\n"
        "import aiworkstation.urls, workflows.worker.step_executor, workflows.llm.client\n"
        "with tracing.span('x') as span: span.set({'a': 1})\n"
        "tracing.flush()\n"
        "print(json.dumps([name for name in sys.modules if name.startswith(('opentelemetry', 'sentry_sdk', 'mcp.'))]))"
    )
    settings = {**environment(), "DJANGO_SETTINGS_MODULE": "aiworkstation.settings"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=BASE_DIR, env=settings, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [], done.stderr
