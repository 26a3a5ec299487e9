"""The deployment on AWS, as CDK in Python: `app` puts the stacks together, `environment` reads their configuration."""
