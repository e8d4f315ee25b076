"""What recurrent and attention layers remember of a sequence."""
