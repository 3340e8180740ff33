"""An app for tests, EXTRA_APPS=tests.probe: tools and tasks that write what they do to a file, so that tests can watch.

The file is the ledger, named by the environment variable PROBE_LEDGER. Tests of worker processes read it.
"""
