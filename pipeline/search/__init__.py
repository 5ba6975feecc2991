"""Which trials to run. A search proposes trials and owns no loop."""
