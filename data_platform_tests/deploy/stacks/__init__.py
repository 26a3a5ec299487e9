"""The CDK stacks. `make deploy-check` runs these tests: they need requirements/deploy.txt."""
