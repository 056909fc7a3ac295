"""Measurements: what our work costs over the bare operations that it cannot do without, as ratios within one run."""
