"""The way in and out: what other libraries and formats know as theirs. Nothing here is needed."""
