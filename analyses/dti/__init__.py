"""Diffusion tensor imaging: maps and statistics of the tensor, with their quality."""
