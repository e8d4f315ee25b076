"""How every layer, cost, regularizer and optimizer is written in C."""
