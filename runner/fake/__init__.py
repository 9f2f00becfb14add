"""Invented results, for tests, demonstrations and work on the service itself."""
