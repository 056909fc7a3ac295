"""Layer 1, shared by parties and gate: from a quote to a decision."""
