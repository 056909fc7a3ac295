"""Layer 2, a party: its own hands, the only place where its private keys live."""
