"""A run's folder on this host, and what the runners that keep one have in common."""
