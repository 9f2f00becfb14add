"""What operators use beside the service: writing tasks, examining the host, measuring baselines."""
