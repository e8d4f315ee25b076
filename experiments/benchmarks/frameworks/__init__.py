"""The same work in the library and in its peers, a module each."""
