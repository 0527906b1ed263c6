"""What two techniques need, each module named after its science."""
