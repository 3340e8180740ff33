"""Side duties: work beside the main task of a process, in a thread of its own (`settings.SIDE_DUTIES`).

The web server and the maintenance process of each `manage.py work` do all of them. So a slow mail server holds up
neither requests nor maintenance, and one of the two can report that the other is dead. A duty must expect that other
processes do it at the same time.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from django.conf import settings
from django.db import Error, connection
from django.utils.module_loading import import_string

from aiworkstation.audit.origin import become_worker_thread

logger = logging.getLogger(__name__)


class SideDuty(Protocol):
    seconds: float
    """The pause after each call."""

    def do(self) -> object:
        """Does what is due."""


def start_side_duties() -> None:
    for path in settings.SIDE_DUTIES:
        threading.Thread(target=_repeat, args=(import_string(path),), name=path, daemon=True).start()


def _repeat(new_duty: Callable[[], SideDuty]) -> None:
    become_worker_thread()
    duty = new_duty()
    while True:
        if not do_once(duty):
            duty = new_duty()  # it forgets what may not be true any more, as for another database server
        time.sleep(duty.seconds)


def do_once(duty: SideDuty) -> bool:
    """Returns False if the duty failed, which must not end it.

    The connection is not kept, because every process has these threads.
    """
    try:
        duty.do()
    except Error as error:
        logger.warning("%s: database: %s", type(duty).__name__, str(error).strip())
    except Exception:
        logger.exception("%s", type(duty).__name__)
    else:
        return True
    finally:
        connection.close()
    return False
