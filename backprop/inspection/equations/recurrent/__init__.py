"""The equations of the recurrent layers, step by step: backpropagation through time."""
