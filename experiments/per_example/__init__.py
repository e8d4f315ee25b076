"""What single examples do to a gradient."""
