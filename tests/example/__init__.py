"""An app as others write it: EXTRA_APPS=tests.example brings a tool, a parser and a job type, a file each."""
