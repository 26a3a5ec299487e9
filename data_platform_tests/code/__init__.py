"""Code from git: repositories that a test makes, and what serves and starts from them."""
