"""What agents, trainers and evaluations use: the client, and what it speaks. Knows no part of the service."""
