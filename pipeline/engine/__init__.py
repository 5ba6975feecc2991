"""The sweep: trains what the search asks for, and ranks the results."""
