"""The researchers' pages: plain values in, HTML out. Knows no session, no database and no web framework."""
