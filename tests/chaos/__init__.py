"""The chaos run: hundreds of executions while processes are killed and frozen, connections cut, PostgreSQL restarted.

    python -m tests.chaos --seconds 180 --seed 1

It is an app too, EXTRA_APPS=tests.chaos: its `tools` are what the steps do.
"""
