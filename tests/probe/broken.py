"""A module that cannot be imported, as one of an extension whose library is not installed."""

raise ImportError("the library for lamps is not installed")
