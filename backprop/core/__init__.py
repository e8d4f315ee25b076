"""Configuration, checks, shapes, files: what everything else stands on."""
