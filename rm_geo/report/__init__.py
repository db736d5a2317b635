"""Reports: results of predict, plan and validate as one HTML file that opens without a network."""
