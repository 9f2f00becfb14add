"""A test's way from queued to a final status."""
