"""The chaos run: hundreds of jobs, while processes are killed and frozen, connections cut, and PostgreSQL restarted.

    python -m tests.chaos --seconds 180 --seed 1

At the end it checks that every rule held. The package is also an app, EXTRA_APPS=tests.chaos: its `tools` are what the
steps do.

Each guard was removed once, to see which check fails without it:

    the claim token of an outcome       every claim has one end; every claim without an outcome is explained
    the lock before a change            every claim has one end; no step runs twice at once
    lanes counted in the claim          maxParallel is kept
    renewal of leases                   every claim without an outcome is explained; everything drains
    the reaper                          everything drains; every execution ends as it should
    return of claims with lost answers  every claim without an outcome is explained
    a crash repeats its attempt         attempts are not raised by faults
    one key for all attempts            one idempotency key a step; every call belongs to a claim
    deletion of consumed messages       no message is left
    cancelled steps refuse outcomes     every execution ends as it should; every claim has one end
    children die with their parent      no process outlives its parent
    restart of ended processes          what was killed is back; work is under way up to the last fault
"""
