"""One module per stack. No stack reads the process environment: `deploy.environment` holds all that differs."""
