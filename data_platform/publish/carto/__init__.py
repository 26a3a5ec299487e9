"""Publishes to CARTO's SQL API: `client` asks it, `sql` writes its statements, `target` puts them in order."""
