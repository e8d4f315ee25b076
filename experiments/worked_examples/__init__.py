"""Calculations of the literature, number by number, beside the library's."""
