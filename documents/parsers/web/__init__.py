"""Web pages, and books made of web pages (.html, .epub)."""
