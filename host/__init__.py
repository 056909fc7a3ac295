"""Layer 2, the operator: moves ciphertext, may refuse service, can read nothing."""
