"""Convolutions and ways past layers, on images of digits."""
