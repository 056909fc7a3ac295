"""A secure processor in software, shaped like AMD's, for development and tests; it protects from no operator."""
