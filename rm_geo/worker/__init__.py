"""Worker process: serves another program over standard input and output."""
