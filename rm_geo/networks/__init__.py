"""Networks of the methods, as torch modules."""
