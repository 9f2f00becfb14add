"""Is this host ready to serve? Findings, each with what to do about it; nothing is changed."""
