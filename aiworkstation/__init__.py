"""Durable background jobs for AI work, inside Django."""

from pathlib import Path

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
"""The directory of this checkout."""
