"""The contenders, and the figures in which each takes part."""

from dataclasses import dataclass, field
from pathlib import Path

from bench.run_environment import PEERS_PYTHON, PYTHON, SERVER

OURS = "aiworkstation"
PLAIN = "aiworkstation, async_task"


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender in one way of running. `isolates`: tasks run in other processes than the queue's own code."""

    name: str
    adapter: str
    variant: str = ""
    figures: frozenset[str] = frozenset()
    durable: bool = True
    isolates: bool = False
    batches: str = "no"
    python: Path = PEERS_PYTHON
    note: str = ""
    slow: bool = field(default=False, kw_only=True)


ALL = frozenset({"steps", "pickup", "plain"})
QUEUE = frozenset({"pickup", "plain"})
STOCK = "django-q2, stock"
CONTENDERS = (
    Contender(
        *(OURS, "bench.application:Application", "", frozenset({"steps", "pickup"})),
        batches="commits of several steps",
        python=PYTHON,
        note="coroutines in two runners, as `manage.py work` starts them",
    ),
    Contender(
        *(PLAIN, "bench.application:Application", "plain", QUEUE),
        isolates=True,
        python=PYTHON,
        note="plain django-q2 tasks, as `manage.py work` runs them",
    ),
    Contender("Absurd, 1 at a time", "bench.peers.absurd:Absurd", "1", ALL, note="poll 10 ms"),
    Contender("Absurd, 10 at a time", "bench.peers.absurd:Absurd", "10", frozenset({"steps"}), batches="claims"),
    Contender("Procrastinate", "bench.peers.procrastinate:Procrastinate", "10", ALL, note="10 coroutines each"),
    Contender("DBOS", "bench.peers.dbos_peer:Dbos", "", ALL, batches="claims", note="threads; poll 10 ms"),
    Contender(
        *("Celery on Redis", "bench.peers.celery_redis:CeleryRedis", "", ALL),
        durable=False,
        isolates=True,
        batches="fetches ahead",
        note="acknowledges late; its chain keeps no record of steps, and Redis syncs nothing",
    ),
    Contender(
        *(STOCK, "bench.peers.django_site:DjangoQ", "stock", ALL),
        isolates=True,
        note="its own ORM broker and processes; a chain of tasks",
        slow=True,
    ),
    Contender(
        *("django-q2, tuned", "bench.peers.django_site:DjangoQ", "tuned", QUEUE),
        isolates=True,
        batches="takes 10",
        note="poll 10 ms, bulk 10, no Task rows, connections kept",
    ),
    Contender(
        *("django-tasks-db", "bench.peers.django_site:DjangoTasksDb", "", QUEUE),
        note="poll 10 ms",
    ),
    Contender(
        *("PgQueuer", "bench.peers.pgqueuer_peer:PgQueuer", "10", QUEUE),
        batches="takes 10, acknowledges in bulk",
        note="coroutines",
    ),
    Contender(
        *("Huey on Redis", "bench.peers.huey_redis:HueyRedis", "", QUEUE),
        durable=False,
        isolates=True,
        note="a task is gone from Redis before it runs",
    ),
)


def contenders_for(figure: str) -> list[Contender]:
    """On a server other than the embedded one, only the application takes part."""
    entered = [contender for contender in CONTENDERS if figure in contender.figures]
    return [contender for contender in entered if contender.python == PYTHON] if SERVER else entered
