"""Layer 2, inside the sealed container: the gate and the processes it directs."""
