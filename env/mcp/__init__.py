"""The service as an MCP server: the same tools, for agents that speak the Model Context Protocol."""
