"""Durable background jobs for AI work, inside Django."""

VERSION = "0.1.0"
