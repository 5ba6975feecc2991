"""What is kept of a run beyond its folder. One process writes, following the journal."""
