"""The training script, its variants as strict diffs, and the scales it runs at."""
