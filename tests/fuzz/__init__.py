"""Coverage-guided fuzzing of every parser that reads bytes from outside; ``python -m tests.fuzz`` runs it."""
