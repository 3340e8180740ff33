"""Files that a text editor can open: plain text, Markdown, CSV, JSON and XML."""
