"""What runs inside the sandbox: the evaluator, and the model workers it asks."""
