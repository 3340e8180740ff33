"""The chaos run: hundreds of executions while processes are killed and frozen, connections cut, PostgreSQL restarted.

    python -m tests.chaos --seconds 180 --seed 1

It is an app too, EXTRA_APPS=tests.chaos: its `tools` are what the steps do.

What fails when a guard is taken away, as was tried with each:

    the token of an outcome             every claim has one end; every claim without an outcome is explained
    the lock before a change            every claim has one end; no step runs twice at once
    lanes counted in the claim          maxParallel is kept
    renewal of leases                   every claim without an outcome is explained; everything drains
    the reaper                          everything drains; every execution ends as it should
    return of claims never heard of     every claim without an outcome is explained
    a crash repeats its attempt         attempts are not raised by faults
    one key for all attempts            one idempotency key a step; every call belongs to a claim
    deletion of consumed messages       no message is left
    cancelled steps refuse outcomes     every execution ends as it should; every claim has one end
    children die with their parent      no process outlives its parent
    what ended is started again         what was killed is back; work is under way up to the last fault
"""
