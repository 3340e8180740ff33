"""The built-in `offline` model: it extracts and computes. It is not a language model, and its answers say so."""

OFFLINE = "offline"
"""The model's name, in settings and steps."""
