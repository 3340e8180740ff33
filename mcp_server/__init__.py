"""The Model Context Protocol: agents start, watch and steer jobs, and search and read documents, at `/mcp`."""
