"""Measuring a task's baselines through the tools that agents use, and the anchors that come of it."""
