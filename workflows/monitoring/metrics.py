"""The metrics of `/metrics`, read from the database at the time of the scrape."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import cast

from django.db import connection, transaction
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from aiworkstation import VERSION
from workflows.engine.why_waiting import alive_workers, slot_use
from workflows.models import Cooldown, Pause, Worker
from workflows.monitoring.counters import BOUNDS, Key, counting_lag, read_counters, with_name
from workflows.monitoring.queue_state import MAX_COUNTED, queue_states

PREFIX = "aiworkstation_"
PATIENCE = "SET LOCAL statement_timeout = '5s'"
COUNTERS = {
    "jobs": ("Jobs that were queued or ended, by event.", ["type", "event"]),
    "steps": ("Finished steps by outcome. The tool of a model step is `model`.", ["tool", "outcome"]),
    "attempts": ("Runs of steps by how they ended. A run that waits or crashes is no attempt.", ["tool", "result"]),
    "waits": ("Waits for a busy or refusing server, by the error's code.", ["tool", "code"]),
    "input_tokens": ("Tokens that models read.", ["model"]),
    "output_tokens": ("Tokens that models wrote.", ["model"]),
    "cost": ("US dollars for models whose price is known.", ["model"]),
}
NAMES = {"input_tokens": "model_input_tokens", "output_tokens": "model_output_tokens", "cost": "model_cost_dollars"}
"""Names of counters that differ from those in the table."""
COOLDOWN_KINDS = ("model", "http")


class DatabaseCollector(Collector):
    """Collects everything in one transaction, so that the figures of one scrape belong together."""

    def describe(self) -> list[Metric]:
        """Returns nothing. Otherwise, the registry would collect once to learn the names."""
        return []

    @transaction.atomic
    def collect(self) -> list[Metric]:
        with connection.cursor() as cursor:
            cursor.execute(PATIENCE)
        counters = read_counters()
        return [*_build(), *_queue(), *_workers(), *_cooldowns(), *_counters(counters), _durations(counters)]


def registry() -> CollectorRegistry:
    found = CollectorRegistry(auto_describe=False)
    found.register(DatabaseCollector())
    return found


def metric_names() -> set[str]:
    """The names of all metrics, as queries write them."""
    families = DatabaseCollector().collect()
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {f"{family.name}{suffix}" for family in families for suffix in suffixes.get(family.type, [""])}


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _number(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _build() -> Iterator[Metric]:
    yield _gauge("info", "The version of the application.", "version", {VERSION: 1})
    kinds = Counter(Pause.objects.values_list("kind", flat=True))
    yield _number("paused", "1 while all work is paused.", kinds[Pause.Kind.ALL])
    partly = {kind.value: kinds[kind] for kind in (Pause.Kind.TOOL, Pause.Kind.PROJECT)}
    yield _gauge("pauses", "Tools and projects that are paused.", "kind", partly)
    yield _number("workers_drained", "Workers that staff have drained.", Worker.objects.filter(is_drained=True).count())
    yield _number("counting_lag_events", "Audit events that are not counted yet.", counting_lag())


def _queue() -> Iterator[Metric]:
    states = queue_states()
    due = {queue: state.due for queue, state in states.items()}
    delayed = {queue: state.delayed for queue, state in states.items()}
    ages = {queue: state.oldest_due.total_seconds() for queue, state in states.items()}
    counted = f"All queues together are counted up to {MAX_COUNTED}."
    yield _gauge("queue_depth", f"Jobs that have a step to run now. {counted}", "queue", due)
    yield _gauge("queue_delayed", f"Jobs whose next step is due later. {counted}", "queue", delayed)
    yield _gauge(
        "queue_oldest_due_seconds", "How long the oldest due job has waited. 0 if no job is due.", "queue", ages
    )


def _workers() -> Iterator[Metric]:
    workers = alive_workers()
    slots = slot_use(workers)
    yield _number("workers_alive", "Workers that are alive and take steps.", len(workers))
    total = {kind: use.total for kind, use in slots.items()}
    yield _gauge("slots", "Slots of the living workers, without the reserve.", "kind", total)
    busy = {kind: use.busy for kind, use in slots.items()}
    yield _gauge("slots_busy", "Slots with a running step.", "kind", busy)


def _cooldowns() -> Iterator[Metric]:
    now = timezone.now()
    number = dict.fromkeys(COOLDOWN_KINDS, 0)
    longest = dict.fromkeys(COOLDOWN_KINDS, 0.0)
    for key, until in Cooldown.objects.filter(until__gt=now).values_list("key", "until"):
        kind = key.partition(":")[0]
        if kind in number:
            number[kind] += 1
            longest[kind] = max(longest[kind], (until - now).total_seconds())
    yield _gauge("cooldowns", "Servers that all workers leave alone for now.", "kind", number)
    yield _gauge("cooldown_longest_seconds", "Seconds until the last of these cool-downs ends.", "kind", longest)


def _counters(counters: Mapping[Key, float]) -> Iterator[Metric]:
    for name, (text, labels) in COUNTERS.items():
        family = CounterMetricFamily(PREFIX + NAMES.get(name, name), text, labels=labels)
        for values, value in with_name(counters, name):
            family.add_metric(values, value)
        yield family


def _durations(counters: Mapping[Key, float]) -> Metric:
    family = HistogramMetricFamily(
        f"{PREFIX}step_duration_seconds",
        "From the start to the end of the last attempt of a completed or failed step.",
        labels=["tool"],
    )
    for (tool,), seconds in with_name(counters, "seconds"):
        total = 0.0
        buckets: list[tuple[str, float]] = []
        for index, bound in enumerate([*BOUNDS, float("inf")]):
            total += counters.get(("seconds_bucket", (tool, str(index))), 0.0)
            buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
        family.add_metric([tool], buckets=cast(list[object], buckets), sum_value=seconds)  # type: ignore[arg-type]
    return family
