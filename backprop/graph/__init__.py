"""Layers and operations joined in any way without a cycle."""
