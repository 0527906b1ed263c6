"""Private elements of each maker, and nothing else."""
