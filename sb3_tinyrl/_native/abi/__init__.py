"""The boundary to C++: shared structures, and the libraries that are called through it."""
