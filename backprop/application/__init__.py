"""The command ``backprop``: training runs, and the folders they leave."""
