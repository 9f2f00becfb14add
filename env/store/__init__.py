"""Sessions, steps, tests and their runs in SQL: every state change is here before it is told."""
