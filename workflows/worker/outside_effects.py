"""Where arguments that a model chose may go. A text that the model has read may have made it choose them.

They go to hosts that the step's author, the mode or MODEL_ALLOWED_HOSTS names. For others, a person is asked first.
"""

import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from workflows.engine.claims import Claim
from workflows.errors import BadArguments
from workflows.models import Mode
from workflows.network import http_client
from workflows.tools import PersonsAnswer, StepContext, Tool
from workflows.tools.approval import DEFAULT_SECONDS

_URL = re.compile(r"https?://[^\s<>\"'`()\[\]{}|\\^]+", re.IGNORECASE)
# The port is required, because a name alone may be a file's name: notes.md.
_HOST_AND_PORT = re.compile(r"(?<![\w.:/@-])(?:[a-z0-9-]+\.)+[a-z0-9-]+:[0-9]{1,5}(?![\w:.@-]*[\w@])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reach:
    """Each `host:port` that a tool may call (None: no limit), and the question that a person must answer first."""

    hosts: frozenset[str] | None
    question: PersonsAnswer | None = None


ANYWHERE = Reach(None)


def reach_of(tool: Tool, claim: Claim, context: StepContext, arguments: Any) -> Reach:
    """Reads the database."""
    named = _hosts_in(f"{claim.name}\n{claim.description}") | _hosts_of_mode(claim.mode)
    targets = tool.destinations(context, arguments)
    if claim.is_approved:
        return ANYWHERE if targets is None else Reach(named.union(targets))
    if targets is not None and named.issuperset(targets):
        return Reach(named)
    return Reach(named, PersonsAnswer(_question(tool, sorted(set(targets or ()) - named)), DEFAULT_SECONDS))


def _question(tool: Tool, hosts: list[str]) -> str:
    where = f" and sends them to {', '.join(hosts)}, which nobody has named" if hosts else ""
    return f"A model chose these arguments. {tool.slug} has effects outside{where}. Run it?"


def _hosts_of_mode(name: str) -> frozenset[str]:
    of_mode = Mode.objects.filter(name=name).values_list("hosts", flat=True).first() or []
    return frozenset(host.lower() for host in [*of_mode, *settings.CONFIG.model_allowed_hosts])


def _hosts_in(text: str) -> frozenset[str]:
    """The `host:port` that a text names, by itself or in a URL."""
    found = {match[0].lower() for match in _HOST_AND_PORT.finditer(text)}
    for match in _URL.finditer(text):
        try:
            found.add(http_client.host_and_port(match[0].rstrip(".,;:!?*_")))
        except BadArguments:
            continue
    return frozenset(found)
