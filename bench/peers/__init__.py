"""One adapter per peer, with its worker beside it. They run in `.venv-bench`, without the application's settings."""
