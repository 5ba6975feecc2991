"""Values and arrays as JSON and binary files, without code and without pickle."""
