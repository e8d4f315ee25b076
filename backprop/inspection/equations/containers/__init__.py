"""What the containers do with what goes in and out of the layers inside them."""
