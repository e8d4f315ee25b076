"""The broken layers: each says at its head what it is meant to compute. They are read as text."""
