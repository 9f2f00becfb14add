"""Runs as plain processes of this machine: for development and hosts without a container engine."""
