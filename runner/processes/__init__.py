"""One run as processes of this machine: a supervisor that starts them, holds them to limits and ends them all."""
