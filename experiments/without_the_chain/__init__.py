"""Learning that does not go by the chain rule from layer to layer, of layers that know it."""
