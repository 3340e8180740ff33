"""An app with tools that tests watch: EXTRA_APPS=tests.probe. They write what they do to the file PROBE_LEDGER."""
