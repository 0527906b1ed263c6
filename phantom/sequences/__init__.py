"""The physics: what each sequence makes of the body, noise included."""
