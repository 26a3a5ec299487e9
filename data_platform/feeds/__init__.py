"""What `defs.yaml` files declare about sources and feeds: plain, validated data. Imports no Dagster; only
`declared.py` and `documents.py` read files."""
