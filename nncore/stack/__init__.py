"""Stacks: K networks of one architecture, trained together as arrays with a leading axis K."""
