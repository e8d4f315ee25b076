"""What research changes in a network, and what it looks at."""
