"""From networks to stacks and slices: cost model, planner and scheduler."""
