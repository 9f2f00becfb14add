"""Runs as jobs of a Slurm cluster, in the sandboxes that the site has."""
