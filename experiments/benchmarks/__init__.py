"""The library against PyTorch, JAX and scikit-learn on the same work: `make bench`."""
