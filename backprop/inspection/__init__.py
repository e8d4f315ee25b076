"""Both passes of a network with every number kept, and printed."""
