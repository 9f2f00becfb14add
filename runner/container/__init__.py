"""Runs in containers of a Docker engine: for code nobody trusts."""
