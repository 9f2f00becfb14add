"""What agents and readers can ask of sessions, whatever the transport."""
