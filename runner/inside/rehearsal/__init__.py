"""The parts of a rehearsal, each in a process that is forked from one that has imported torch."""
