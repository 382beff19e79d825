"""What a table is. One definition gives the Arrow schema, the checks, the data dictionary and test data."""
