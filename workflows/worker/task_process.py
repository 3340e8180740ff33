"""The process that runs plain django-q2 tasks."""

import logging
from collections.abc import Callable
from multiprocessing import Value

from django_q.conf import Conf
from django_q.worker import worker

from workflows.django_q.plain_tasks import PlainTasks
from workflows.django_q.task_lease import TaskLease, TaskLeaseRenewer

logger = logging.getLogger(__name__)


def run_tasks(on_tick: Callable[[], None], stopping: Callable[[], bool], *, drain: bool = False) -> None:
    """Runs django-q2's own worker function, with its signals and `Task` rows, on tasks that we claim.

    That function ends after a number of tasks, and the supervisor restarts the process. A drain continues instead.
    """
    lease = TaskLease()
    # A thread, because django-q2's worker function blocks the main thread while a task runs.
    TaskLeaseRenewer(lease, on_tick, stopping).start()
    tasks = PlainTasks(lease, stopping, drain=drain)
    while not tasks.has_ended:
        try:
            worker(tasks, tasks, Value("f", -1), Conf.TIMEOUT)
        except BaseException as error:
            # django-q2 catches what a task raises, except sys.exit and the like, and nothing of a signal's receivers.
            if not tasks.fail_current(error):
                raise  # no task is to blame: the supervisor restarts the process after its back-off
            logger.exception("a plain task has ended django-q2's worker function")
        if not drain:
            break
    lease.give_back()
