"""A `TransformerBlock` has no equations of its own: it is a chain, see containers/sequential.py."""
