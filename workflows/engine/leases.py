"""Statements about the steps that a worker holds: renew their leases, store their progress, ask which it still holds.

They take no lock on the execution, so they must never wait: a row that another transaction holds is being changed
anyway, and is skipped.
"""

_HELD = """
SELECT id FROM workflow_steps
WHERE id = ANY(%(steps)s::uuid[]) AND token = ANY(%(tokens)s::uuid[]) AND status = 'running' FOR UPDATE SKIP LOCKED
"""

RENEW = f"""
UPDATE workflow_steps SET lease_until = clock_timestamp() + %(lease)s * interval '1 second' WHERE id IN ({_HELD})
"""

STORE_PROGRESS = f"""
UPDATE workflow_steps s SET progress = coalesce(given.progress, s.progress), message = given.message
FROM unnest(%(steps)s::uuid[], %(progress)s::int[], %(messages)s::text[]) AS given(step, progress, message)
WHERE s.id = given.step AND s.id IN ({_HELD})
"""

STILL_HELD = """
SELECT token FROM workflow_steps
WHERE id = ANY(%(steps)s::uuid[]) AND token = ANY(%(tokens)s::uuid[]) AND status = 'running'
"""

COOLDOWNS = """
SELECT key, extract(epoch FROM until - clock_timestamp())::float8 FROM workflow_cooldowns
WHERE until > statement_timestamp()
"""
