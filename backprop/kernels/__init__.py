"""NumPy's fast ways under meaningful names, each with a plain twin that the tests compare."""
