"""What goes into the service and what leaves it: arguments, answers, refusals. Imports nothing of the rest."""
