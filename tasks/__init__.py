"""What an agent is asked: a task folder in, a validated task with its fenced file out."""
