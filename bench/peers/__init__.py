"""One adapter per peer, with its worker beside it. They run in `.venv-bench`, without Django's settings of ours."""
