"""Counters that only grow, in the table `workflow_counters`: what happened to steps and jobs, from the audit trail.

The engine's own statements count nothing. Maintenance calls `count_sealed_events` after it has sealed events. A seal
covers only ids that are decided (see `aiworkstation.audit.chain`), so each event is counted exactly once, about ten
seconds after it happened. The counter `counted_up_to` is the id of the last counted event.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from django.db import transaction
from psycopg.types.json import Jsonb

from workflows.engine.query import rows_of

MAX_IDS = 50_000
"""How many ids one transaction counts."""
ROUNDS = 4
"""How many transactions one call makes. The next call counts the rest."""
MAX_VALUES = 200
"""How many values a label may have. Further ones are counted as OTHER: a model's name may be any text."""
OTHER = "other"
MODEL_STEP = "model"
"""The label `tool` of a step without a tool."""
DELETED = "deleted"
"""The label `tool` of a step that was deleted before it was counted."""
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds of the buckets of durations, in seconds. The last bucket has none."""

OUTCOMES = ("completed", "failed", "skipped", "cancelled")
RUN_ENDS = {
    "completed": "completed",
    "failed": "failed",
    "retry_scheduled": "retried",
    "waiting": "waiting",
    "handed_over": "handed_over",
    "returned": "returned",
    "crashed": "crashed",
    "lease_lost": "lease_lost",
}
"""How a run of a step ended, by the action of its event."""

Key = tuple[str, tuple[str, ...]]
"""The name of a counter, and the values of its labels."""

_MARK = "counted_up_to"


def _number(key: str) -> str:
    """A number from a step's usage, or NULL if it is not a number: a price is stored as text."""
    value = f"e.changes->'usage'->>'{key}'"
    return rf"CASE WHEN {value} ~ '^\d{{1,15}}(\.\d{{1,30}})?([eE][-+]?0?\d)?$' THEN ({value})::float8 END"


_LOCK_MARK = """
INSERT INTO workflow_counters (name, labels, value) VALUES (%(mark)s, '{}', 0)
ON CONFLICT (name, labels) DO UPDATE SET value = workflow_counters.value
RETURNING value::bigint, coalesce((SELECT last_id FROM audit_seals ORDER BY number DESC LIMIT 1), 0)
"""
_LAG = """
SELECT CASE WHEN is_called THEN last_value ELSE 0 END
  - coalesce((SELECT value::bigint FROM workflow_counters WHERE name = %(mark)s), 0)
FROM audit_events_id_seq
"""
# A step that a user has retried since then began after the event: that run is in no histogram.
_STEP_EVENTS = f"""
SELECT action, tool, model, code, bucket, count(*), coalesce(sum(seconds), 0)::float8,
  coalesce(sum(input), 0)::float8, coalesce(sum(output), 0)::float8, coalesce(sum(cost), 0)::float8
FROM (
  SELECT split_part(e.action, '.', 2) AS action,
    CASE WHEN s.id IS NULL THEN '{DELETED}' WHEN s.tool = '' THEN '{MODEL_STEP}' ELSE s.tool END AS tool,
    coalesce(nullif(s.model, ''), '{OTHER}') AS model,
    CASE WHEN e.action = 'step.waiting' THEN coalesce(e.changes->'error'->>'code', '{OTHER}') ELSE '' END AS code,
    width_bucket(run.seconds, %(bounds)s::float8[]) AS bucket, run.seconds,
    {_number("inputTokens")} AS input,
    {_number("outputTokens")} AS output,
    {_number("costUsd")} AS cost
  FROM audit_events e
  LEFT JOIN workflow_steps s
    ON s.id = CASE WHEN e.object ~ '^step:[0-9a-f-]{{36}}$' THEN substr(e.object, 6)::uuid END
  CROSS JOIN LATERAL (
    SELECT CASE WHEN e.action IN ('step.completed', 'step.failed') AND e.at >= s.started_at
      THEN extract(epoch FROM e.at - s.started_at)::float8 END AS seconds
  ) run
  WHERE e.id > %(since)s AND e.id <= %(upto)s AND e.action LIKE 'step.%%' AND e.action <> 'step.started'
) events GROUP BY action, tool, model, code, bucket
"""
_JOB_EVENTS = """
SELECT split_part(action, '.', 2), coalesce(changes->>'jobType', 'other'), count(*) FROM audit_events
WHERE id > %(since)s AND id <= %(upto)s AND action = ANY(%(actions)s) GROUP BY 1, 2
"""
_JOB_ACTIONS = ["queued", "completed", "completed_with_errors", "failed", "cancelled"]
_ADD = """
INSERT INTO workflow_counters (name, labels, value)
SELECT name, ARRAY(
  SELECT label FROM jsonb_array_elements_text(labels) WITH ORDINALITY AS each(label, place) ORDER BY place), value
FROM unnest(%(names)s::text[], %(labels)s::jsonb[], %(values)s::float8[]) AS new(name, labels, value)
ON CONFLICT (name, labels) DO UPDATE SET value = workflow_counters.value + excluded.value
"""


def count_sealed_events() -> int:
    """Returns how many ids were counted."""
    total = 0
    for _ in range(ROUNDS):
        counted = _count_batch()
        total += counted
        if counted < MAX_IDS:
            break
    return total


def read_counters() -> dict[Key, float]:
    rows = rows_of("SELECT name, labels, value FROM workflow_counters")
    return {(name, tuple(labels)): value for name, labels, value in rows}


def counting_lag() -> int:
    """How many ids of events were given out, but are not counted yet."""
    ((lag,),) = rows_of(_LAG, mark=_MARK)
    return max(0, int(lag))


@transaction.atomic
def _count_batch() -> int:
    # The lock on the row lets one process at a time count.
    ((since, sealed),) = rows_of(_LOCK_MARK, mark=_MARK)
    upto = min(since + MAX_IDS, sealed)
    if upto <= since:
        return 0
    found: dict[Key, float] = defaultdict(float)
    for row in rows_of(_STEP_EVENTS, since=since, upto=upto, bounds=list(BOUNDS)):
        for key, value in _of_steps(*row):
            found[key] += value
    actions = [f"job.{name}" for name in _JOB_ACTIONS]
    for action, job_type, number in rows_of(_JOB_EVENTS, since=since, upto=upto, actions=actions):
        found["jobs", (job_type, action)] += number
    found = _within_limits(found, read_counters())
    found[_MARK, ()] = upto - since
    rows_of(
        _ADD,
        names=[name for name, _ in found],
        # As JSON, because the lists differ in length, and a model's name may have any character.
        labels=[Jsonb(labels) for _, labels in found],
        values=[float(value) for value in found.values()],
    )
    return int(upto - since)


def _of_steps(
    action: str, tool: str, model: str, code: str, bucket: int | None, number: int, seconds: float, *usage: float
) -> Iterator[tuple[Key, float]]:
    """Yields what one row of `_STEP_EVENTS` adds to the counters."""
    if action in OUTCOMES:
        yield ("steps", (tool, action)), number
    if action in RUN_ENDS:
        yield ("attempts", (tool, RUN_ENDS[action])), number
    if action == "waiting":
        yield ("waits", (tool, code)), number
    if bucket is not None:
        yield ("seconds", (tool,)), seconds
        yield ("seconds_bucket", (tool, str(bucket))), number
    for name, value in zip(("input_tokens", "output_tokens", "cost"), usage, strict=True):
        if value:
            yield (name, (model,)), value


def _within_limits(found: Mapping[Key, float], known: Mapping[Key, float]) -> dict[Key, float]:
    """Replaces label values beyond the limit. Values that are already stored stay."""
    values: dict[tuple[str, int], set[str]] = {}
    for name, labels in known:
        for place, value in enumerate(labels):
            values.setdefault((name, place), set()).add(value)
    limited: dict[Key, float] = defaultdict(float)
    for (name, labels), number in found.items():
        kept = tuple(_kept(values.setdefault((name, place), set()), value) for place, value in enumerate(labels))
        limited[name, kept] += number
    return limited


def _kept(values: set[str], value: str) -> str:
    if value not in values and len(values) >= MAX_VALUES:
        return OTHER
    values.add(value)
    return value


def with_name(counters: Mapping[Key, float], name: str) -> list[tuple[tuple[str, ...], float]]:
    """The labels and values of the counters with this name, in the order of their labels."""
    return sorted((labels, value) for (found, labels), value in counters.items() if found == name)
