"""Where rows come from: one class per kind of source."""
