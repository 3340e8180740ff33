"""The built-in `offline` model: it extracts and computes, says so, and is no language model."""

OFFLINE = "offline"
"""The model's name, wherever a model is named."""
