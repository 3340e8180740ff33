"""Roll-ups: what happened to jobs in each minute, hour and day, so that figures over months are read at once.

Maintenance counts jobs after they have ended (`count_ended_jobs`); the engine's own statements count nothing. Readers
add what is not counted yet from the jobs' rows, in the same statement (`read`). So the figures are exact to the minute
at any time, whether maintenance runs or not.

A job is counted exactly once. `RollupMark.counted_to` moves in the transaction that counts, behind every transaction
that may still write an earlier `finished_at`:

1. Note the time, then take a transaction id. A verb takes its own id (it locks the job) before it reads the clock for
   `finished_at`. So what ended a job up to that time is a transaction with a smaller id.
2. When no transaction with a smaller id is open, all of these jobs can be seen.

A retry and a deletion take a job's ending away from its row. Before that, they move what the row says to rows with
`is_kept` (`keep`): a failure stays a failure of its minute. So `rebuild` may throw away everything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from workflows.engine.query import Row, rows_of
from workflows.model_usage import SUMS
from workflows.models import Rollup

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
EVERYBODY = 0
USAGE = Rollup.Measure.USAGE.value
IS_USAGE = f"measure = '{USAGE}'"
"""The condition of the index `rollup_of_usage`."""
BATCH = 5_000
"""About how many jobs one transaction counts."""
ROUNDS = 5
"""How many transactions one call makes. The next call counts the rest."""
STEPS_PER_DOUBLING = 4
"""A bucket of durations is 19 % wide: bucket n begins at 2^(n/4) ms."""
NEVER = datetime(1, 1, 1, tzinfo=UTC)
HAPPENED = [measure.value for measure in Rollup.Measure if measure is not Rollup.Measure.USAGE]
"""What happened to a job, and stays true when it runs again."""

_LOCK_MARK = """
INSERT INTO workflow_rollup_mark (id, counted_to) VALUES (1, %(never)s)
ON CONFLICT (id) DO UPDATE SET counted_to = workflow_rollup_mark.counted_to
RETURNING counted_to, next_to, next_xid
"""
_MARK = "SELECT counted_to FROM workflow_rollup_mark"
_LOOK = "SELECT statement_timestamp(), pg_current_xact_id()::text::bigint"
_OPEN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_current_xact_id()::text::bigint"
_STORE_MARK = """
UPDATE workflow_rollup_mark SET counted_to = %(counted_to)s, next_to = %(next_to)s, next_xid = %(next_xid)s
"""
_END_OF_BATCH = """
SELECT finished_at FROM workflow_executions WHERE finished_at > %(since)s AND finished_at <= %(upto)s
ORDER BY finished_at OFFSET %(batch)s LIMIT 1
"""

_COLUMNS = "id, owner_id, job_type, mode, model_id, project_id, status, created_at, started_at, finished_at"


def _duration(begin: str, end: str) -> str:
    """The bucket between two times of a job; -1 if one is missing, or if it ended before it began."""
    milliseconds = f"greatest(extract(epoch FROM {end} - {begin}) * 1000, 1)"
    bucket = f"floor(ln({milliseconds}) / ln(2) * {STEPS_PER_DOUBLING})::int"
    return f"CASE WHEN {begin} <= {end} THEN {bucket} ELSE -1 END"


# What the rows of `{jobs}` say: a row for each thing that happened, with its time. Only a job that has ended has spent
# something: until then, its steps may spend more.
_HAPPENED = f"""
jobs AS MATERIALIZED ({{jobs}}),
spent (execution_id, model, is_usage, input_tokens, output_tokens, cost) AS (
  SELECT s.execution_id, s.model::text, bool_or(coalesce(jsonb_typeof(usage) = 'object', false)), {SUMS}
  FROM jobs JOIN workflow_steps s ON s.execution_id = jobs.id WHERE s.model <> '' OR s.usage IS NOT NULL
  GROUP BY s.execution_id, s.model
),
answered AS (SELECT execution_id, array_agg(model) AS models FROM spent GROUP BY execution_id),
labelled AS (
  SELECT jobs.*, ARRAY(
    SELECT DISTINCT name FROM unnest(models || jobs.model_id::text) name WHERE name <> '' ORDER BY name) AS model_names
  FROM jobs LEFT JOIN answered ON answered.execution_id = jobs.id
),
happened AS (
  SELECT started_at AS at, owner_id, job_type, mode, project_id, model_names, '' AS model, 'started' AS measure,
    {_duration("created_at", "greatest(created_at, started_at)")} AS bucket,
    0 AS input_tokens, 0 AS output_tokens, 0 AS cost, 0 AS unpriced
  FROM labelled WHERE started_at IS NOT NULL
  UNION ALL
  SELECT finished_at, owner_id, job_type, mode, project_id, model_names, '', status,
    {_duration("started_at", "finished_at")}, 0, 0, 0, 0
  FROM labelled WHERE finished_at IS NOT NULL
  UNION ALL
  SELECT finished_at, owner_id, job_type, mode, project_id, model_names, model, 'usage', -1, input_tokens,
    output_tokens, coalesce(cost, 0), (cost IS NULL)::int
  FROM labelled JOIN spent ON spent.execution_id = labelled.id WHERE finished_at IS NOT NULL AND is_usage
)
"""
_ADD = f"""
WITH {_HAPPENED},
scoped AS (
  SELECT at, owner_id, job_type, mode, project_id, model_names, model, measure, bucket, input_tokens, output_tokens,
    cost, unpriced FROM happened
  UNION ALL
  SELECT at, {EVERYBODY}, job_type, '', '', '{{}}', model, measure, bucket, input_tokens, output_tokens, cost, unpriced
  FROM happened
),
added AS (
  SELECT seconds, date_bin(seconds * interval '1 second', at, 'epoch') AS at, owner_id, job_type, mode, project_id,
    model_names, model, measure, bucket, count(*) AS number, sum(input_tokens) AS input_tokens,
    sum(output_tokens) AS output_tokens, sum(cost) AS cost, sum(unpriced) AS unpriced
  FROM scoped CROSS JOIN unnest(ARRAY[{MINUTE}, {HOUR}, {DAY}]) AS seconds
  WHERE measure = ANY(%(measures)s) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
)
INSERT INTO workflow_rollups AS r (
  seconds, at, key, is_kept, owner_id, job_type, mode, project_id, model_names, model, measure, bucket, number,
  input_tokens, output_tokens, cost, unpriced)
SELECT seconds, at, md5(jsonb_build_array(
    %(is_kept)s::bool, owner_id, job_type, mode, project_id, model_names, model, measure, bucket)::text)::uuid,
  %(is_kept)s, owner_id, job_type, mode, project_id, model_names, model, measure, bucket, %(sign)s * number,
  %(sign)s * input_tokens, %(sign)s * output_tokens, %(sign)s * cost, %(sign)s * unpriced
FROM added ORDER BY 1, 2, 3
ON CONFLICT (seconds, at, key) DO UPDATE SET
  number = r.number + excluded.number, input_tokens = r.input_tokens + excluded.input_tokens,
  output_tokens = r.output_tokens + excluded.output_tokens, cost = r.cost + excluded.cost,
  unpriced = r.unpriced + excluded.unpriced
"""

_ENDED_BY = f"SELECT {_COLUMNS} FROM workflow_executions WHERE finished_at > %(since)s AND finished_at <= %(upto)s"
_NAMED = f"SELECT {_COLUMNS} FROM workflow_executions WHERE finished_at IS NOT NULL AND id = ANY(%(ids)s::uuid[])"
_NOT_COUNTED = f"""
SELECT {_COLUMNS} FROM workflow_executions WHERE finished_at > %(mark)s AND {{owner}}
UNION ALL
SELECT {_COLUMNS} FROM workflow_executions
WHERE status IN ('queued', 'running', 'waiting') AND started_at IS NOT NULL AND {{owner}}
"""
_READ = f"""
WITH {_HAPPENED},
found AS (
  SELECT at, owner_id, job_type, mode, project_id, model, measure, bucket, number, input_tokens, output_tokens, cost,
    unpriced
  FROM workflow_rollups
  WHERE seconds = %(level)s AND at >= %(begin)s AND at < %(end)s AND {{kept_owner}} AND {{labels}} AND {{measured}}
  UNION ALL
  SELECT at, owner_id, job_type, mode, project_id, model, measure, bucket, 1, input_tokens, output_tokens, cost,
    unpriced
  FROM happened WHERE at >= %(begin)s AND at < %(end)s AND {{labels}} AND {{measured}}
),
placed AS (SELECT *, date_bin(%(width)s * interval '1 second', at, 'epoch') AS slot FROM found)
SELECT grouping({{by}}), coalesce({{value}}), measure, bucket, sum(number),
  coalesce(sum(input_tokens) FILTER (WHERE {{is_usage}}), 0),
  coalesce(sum(output_tokens) FILTER (WHERE {{is_usage}}), 0),
  coalesce(sum(cost) FILTER (WHERE {{is_usage}}), 0), coalesce(sum(unpriced) FILTER (WHERE {{is_usage}}), 0),
  (SELECT counted_to FROM workflow_rollup_mark)
FROM placed GROUP BY GROUPING SETS ({{sets}}, ())
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which jobs: those of one user or, with None, of everybody; with these labels, if they are not empty.

    `except_types` leaves out some types, unless `job_type` names one.
    """

    owner_id: int | None
    job_type: str = ""
    mode: str = ""
    project_id: str = ""
    model: str = ""
    except_types: tuple[str, ...] = ()

    @property
    def has_labels(self) -> bool:
        """Whether it needs rows with labels that those of everybody do not have."""
        return bool(self.mode or self.project_id or self.model)


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is that of the dimension: a label, an owner's id, or the beginning of a time slot (seconds since 1970).

    `bucket` is that of a histogram of durations. The sums are those of usage: `unpriced` of `number` have no price.
    """

    value: Any
    measure: str
    bucket: int
    number: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced: int


def count_ended_jobs() -> bool:
    """Counts jobs that have ended. Returns whether more can be counted at once. Call it outside transactions."""
    ((now, xid),) = rows_of(_LOOK)
    return all(_count_batch(now, xid) for _ in range(ROUNDS))


def rebuild() -> None:
    """Counts all jobs again. Meanwhile, readers count what is missing from the rows."""
    with transaction.atomic():
        _, next_to, next_xid = _lock_mark()
        Rollup.objects.filter(is_kept=False).delete()
        _store_mark(NEVER, next_to, next_xid)
    while count_ended_jobs():
        pass


def keep(executions: Sequence[UUID], *, with_usage: bool) -> None:
    """Keeps what the rows of these ended jobs say, before their verb changes or deletes them in its transaction.

    `with_usage` is for a deletion: a job that runs again keeps its usage, and is counted with it when it ends.
    """
    counted_to, _, _ = _lock_mark()
    ids = list(executions)
    measures = Rollup.Measure.values if with_usage else HAPPENED
    rows_of(_with(_ADD, jobs=_NAMED), ids=ids, is_kept=True, sign=1, measures=measures)
    counted = f"{_NAMED} AND finished_at <= %(upto)s"
    everything = Rollup.Measure.values
    rows_of(_with(_ADD, jobs=counted), ids=ids, upto=counted_to, is_kept=False, sign=-1, measures=everything)


@transaction.atomic
def _count_batch(now: datetime, xid: int) -> bool:
    """Returns whether there is more to count."""
    # The lock comes in a statement of its own: the next ones see what an earlier holder has committed.
    counted_to, next_to, next_xid = _lock_mark()
    if next_to is None:
        next_to, next_xid = now, xid
    ((first_open, own),) = rows_of(_OPEN)
    if next_xid > own:  # the database was restored to another server, whose ids are smaller
        next_to, next_xid = now, xid
    if first_open < next_xid:
        _store_mark(counted_to, next_to, next_xid)
        return False
    ends = rows_of(_END_OF_BATCH, since=counted_to, upto=next_to, batch=BATCH)
    end = ends[0][0] if ends else max(counted_to, next_to)
    rows_of(
        _with(_ADD, jobs=_ENDED_BY), since=counted_to, upto=end, is_kept=False, sign=1, measures=Rollup.Measure.values
    )
    _store_mark(end, *((next_to, next_xid) if ends else (None, None)))
    return bool(ends)


def _lock_mark() -> Row:
    """Returns counted_to, next_to, next_xid. One transaction at a time counts or keeps, so that none is lost."""
    (mark,) = rows_of(_LOCK_MARK, never=NEVER)
    return mark


def _store_mark(counted_to: datetime, next_to: datetime | None, next_xid: int | None) -> None:
    rows_of(_STORE_MARK, counted_to=counted_to, next_to=next_to, next_xid=next_xid)


def read(
    scope: Scope, begin: datetime, end: datetime, width: int, by: Sequence[str], measures: Sequence[str] = ()
) -> dict[str, list[Figure]]:
    """Returns the figures of a period by each of the dimensions, which are columns of `Rollup`, or `slot`.

    `width` is the length of a slot in seconds. The period consists of whole slots. By default, all `measures`.
    """
    level = next(length for length in (DAY, HOUR, MINUTE) if width % length == 0)
    details = scope.has_labels or not {"slot", "job_type", "model"}.issuperset(by)
    chosen = list(measures) or Rollup.Measure.values
    statement = _statement(scope, by, chosen, details=details)
    while True:
        marks = rows_of(_MARK)
        mark = marks[0][0] if marks else NEVER
        rows = rows_of(
            statement, mark=mark, level=level, begin=begin, end=end, width=width,
            measures=chosen, owner=scope.owner_id, job_type=scope.job_type,
            mode=scope.mode, project_id=scope.project_id, model=scope.model, except_types=list(scope.except_types),
        )  # fmt: skip
        # The mark as the statement saw it. If it has moved, jobs in between would be counted twice.
        if (rows[0][-1] or NEVER) == mark:
            return _by_dimension(rows, by)


def _statement(scope: Scope, by: Sequence[str], measures: list[str], *, details: bool) -> str:
    owner = "true" if scope.owner_id is None else "owner_id = %(owner)s"
    everybody = f"owner_id {'<>' if details else '='} {EVERYBODY}"
    labels = [f"{name} = %({name})s" for name in ("job_type", "mode", "project_id") if getattr(scope, name)]
    labels += [] if scope.job_type else ["job_type <> ALL(%(except_types)s::text[])"]
    labels += ["%(model)s::text = ANY(model_names)"] if scope.model else []
    return _with(
        _READ,
        jobs=_with(_NOT_COUNTED, owner=owner),
        kept_owner=everybody if scope.owner_id is None else owner,
        labels=" AND ".join(labels),
        measured=IS_USAGE if measures == [USAGE] else "measure = ANY(%(measures)s)",
        is_usage=IS_USAGE,
        by=", ".join(by),
        value=", ".join("extract(epoch FROM slot)::bigint::text" if name == "slot" else f"{name}::text" for name in by),
        sets=", ".join(f"({name}, measure, bucket)" for name in by),
    )


def _with(statement: str, **parts: str) -> str:
    """Fills in parts of SQL. The braces of its patterns and arrays stay."""
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement


def _by_dimension(rows: list[Row], by: Sequence[str]) -> dict[str, list[Figure]]:
    """The first column of a row has a bit for each dimension by which it is not grouped, the first one highest."""
    every = 2 ** len(by) - 1
    names = {every - 2**place: name for place, name in enumerate(reversed(by))}
    found: dict[str, list[Figure]] = {name: [] for name in by}
    for mask, value, measure, bucket, number, read, written, cost, unpriced, _ in rows:
        if mask in names:
            figure = Figure(value, measure, bucket, int(number), int(read), int(written), cost, int(unpriced))
            found[names[mask]].append(figure)
    return found


def length_of(bucket: int, place: float = 0.5) -> float:
    """The milliseconds at a place (0 to 1) within a bucket of durations."""
    return float(2 ** ((bucket + place) / STEPS_PER_DOUBLING))


def percentile(counts: dict[int, int], share: float) -> float | None:
    """The duration in milliseconds below which a share of a histogram lies, within 10 %. None if it is empty."""
    total = sum(counts.values())
    wanted = share * total
    for bucket in sorted(counts):
        if wanted <= counts[bucket] or wanted <= 0:
            return length_of(bucket, max(wanted, 0) / counts[bucket])
        wanted -= counts[bucket]
    return None
