"""Types, protocols and the resolver of names: what every other package builds on."""
