"""Credit rules: what an error comes down by, in the place of the chain rule."""
