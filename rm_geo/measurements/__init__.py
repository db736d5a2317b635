"""Drive-test measurements: reading, cleaning and splitting by cell."""
