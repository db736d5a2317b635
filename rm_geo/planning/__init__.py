"""Planning: what is derived from the radio maps of many cells."""
