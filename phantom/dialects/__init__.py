"""How each vendor's scanner writes what it saw, tag by tag."""
