"""The tools that come with the engine."""
