"""What second-order methods make of deep networks."""
