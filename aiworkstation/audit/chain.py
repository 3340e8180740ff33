"""The chain of seals over the audit trail: `Sealer` extends it after events are committed, and `verify` checks it.

A seal covers a range of ids without a gap between it and the range before. It may cover only ids that are decided
(`decided.py`), because no event may appear in its range later. An advisory lock and the seal's number let only one
process seal at once.

A database user who owns the tables can rewrite the whole chain. So publish its head elsewhere (AUDIT_HEAD_FILE, or
`manage.py audit_head`), and let `manage.py verify_audit` compare.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from aiworkstation.audit.decided import DecidedEvents

MAX_IDS = 50_000
"""The most ids in one seal, which one statement hashes at once."""
SEALS_AT_ONCE = 100
"""How many seals one statement compares with their events."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('audit_seals'))"
_SEALED_UP_TO = "SELECT coalesce(max(last_id), 0) FROM audit_seals"
_SEAL = """
WITH last AS (
  SELECT number, last_id, digest FROM audit_seals
  UNION ALL SELECT 0, 0, NULL ORDER BY number DESC LIMIT 1
), batch AS (
  SELECT coalesce(array_agg(id ORDER BY id), '{}') AS ids, coalesce(array_agg(digest ORDER BY id), '{}') AS digests
  FROM (
    SELECT id, audit_event_digest(e) AS digest FROM audit_events e
    WHERE id > (SELECT last_id FROM last) AND id <= %(upto)s
  ) AS hashed
)
INSERT INTO audit_seals (number, first_id, last_id, event_ids, event_digests, digest)
SELECT number + 1, last_id + 1, %(upto)s, ids, digests,
  audit_seal_digest(digest, number + 1, last_id + 1, %(upto)s, ids, digests)
FROM last, batch
RETURNING cardinality(event_ids)
"""
_HEAD = "SELECT number, encode(digest, 'hex') FROM audit_seals ORDER BY number DESC LIMIT 1"

_LINKS = """
SELECT number, first_id, last_id, encode(digest, 'hex'),
  digest = audit_seal_digest(lag(digest) OVER chain, number, first_id, last_id, event_ids, event_digests)
FROM audit_seals WINDOW chain AS (ORDER BY number) ORDER BY number
"""
_EVENTS = """
SELECT seal.number, found.* FROM audit_seals seal CROSS JOIN LATERAL (
  SELECT id, sealed.digest IS NULL AS is_inserted, stored.digest IS NULL AS is_deleted
  FROM unnest(seal.event_ids, seal.event_digests) AS sealed(id, digest)
  FULL JOIN (
    SELECT id, audit_event_digest(e) AS digest FROM audit_events e WHERE id BETWEEN seal.first_id AND seal.last_id
  ) AS stored USING (id)
  WHERE sealed.digest IS DISTINCT FROM stored.digest
) AS found WHERE seal.number BETWEEN %(first)s AND %(last)s ORDER BY seal.number, id
"""
_BEFORE_THE_CHAIN = "SELECT id FROM audit_events WHERE id < 1"
_COUNTS = """
SELECT (SELECT coalesce(sum(cardinality(event_ids)), 0)::bigint FROM audit_seals),
  (SELECT count(*) FROM audit_events WHERE id > (SELECT coalesce(max(last_id), 0) FROM audit_seals))
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal: its number, and its digest in hex. As text `12:ab34…`."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Raises ValueError if the text is not a head."""
        number, _, digest = text.strip().partition(":")
        if len(bytes.fromhex(digest)) != 32:
            raise ValueError("a head is written as NUMBER:DIGEST")
        return cls(int(number), digest.lower())


@dataclass(frozen=True, slots=True)
class Verified:
    """`findings` has a line for each problem. The events of the last seconds are not sealed yet."""

    seals: int
    sealed: int
    unsealed: int
    head: Head | None
    findings: list[str]


class Sealer:
    """Seals events whose transactions have ended. Each call of `seal` notes the events that a later call seals."""

    def __init__(self) -> None:
        self._decided = DecidedEvents()

    def seal(self) -> int:
        """Returns how many events were sealed."""
        upto = self._decided.up_to(_value(_SEALED_UP_TO))
        return 0 if upto is None else _seal_up_to(upto)


@transaction.atomic
def _seal_up_to(last_id: int) -> int:
    """Makes one seal of at most MAX_IDS ids. Returns how many events it has: 0 if another process was faster."""
    # Read again under the lock: since the first look, another process may have sealed these events.
    if not _value(_LOCK) or (sealed := _value(_SEALED_UP_TO)) >= last_id:
        return 0
    upto = min(sealed + MAX_IDS, last_id)
    return sum(count for (count,) in _rows(_SEAL, upto=upto))


def head() -> Head | None:
    """Returns the newest seal, or None if nothing is sealed yet."""
    return next((Head(*row) for row in _rows(_HEAD)), None)


def verify(published: list[Head] | None = None) -> Verified:
    """Compares every sealed event with its seal, every seal with the one before, and the published heads with both."""
    links = _rows(_LINKS)
    findings = [*_broken_links(links), *_broken_events(links), *_broken_heads(links, published or [])]
    ((sealed, unsealed),) = _rows(_COUNTS)
    newest = Head(links[-1][0], links[-1][3]) if links else None
    return Verified(len(links), sealed, unsealed, newest, findings)


def _broken_links(links: list[Any]) -> list[str]:
    findings = []
    number, last_id = 0, 0
    for found, first, last, _, holds in links:
        if found != number + 1:
            findings.append(f"seals {number + 1} to {found - 1}: deleted")
        elif first != last_id + 1 or last < first:
            findings.append(f"seal {found}: changed (it does not begin where the one before ends)")
        elif not holds:
            findings.append(f"seal {found}: this seal or the one before was changed")
        number, last_id = found, last
    return findings


def _broken_events(links: list[Any]) -> list[str]:
    findings = [f"event {id}: inserted before the chain" for (id,) in _rows(_BEFORE_THE_CHAIN)]
    numbers = [number for number, *_ in links]
    for start in range(0, len(numbers), SEALS_AT_ONCE):
        batch = numbers[start : start + SEALS_AT_ONCE]
        for seal, id, is_inserted, is_deleted in _rows(_EVENTS, first=batch[0], last=batch[-1]):
            happened = "inserted" if is_inserted else "deleted" if is_deleted else "changed"
            findings.append(f"event {id}: {happened} (seal {seal})")
    return findings


def _broken_heads(links: list[Any], published: list[Head]) -> list[str]:
    findings = []
    digests = {number: digest for number, _, _, digest, _ in links}
    newest = max(digests, default=0)
    for known in published:
        if known.number > newest:
            findings.append(f"seals {newest + 1} to {known.number}: cut off (seal {known.number} was published)")
        elif digests.get(known.number) != known.digest:
            findings.append(f"seal {known.number}: differs from the published head, so the chain was rewritten")
    return findings


def _value(statement: str) -> Any:
    return _rows(statement)[0][0]


def _rows(statement: str, **parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())
