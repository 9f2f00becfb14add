"""A scripted agent that plays a whole session over HTTP."""
