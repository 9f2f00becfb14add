"""Tasks for Harbor, whose GPU work a running Ringfence service does."""
