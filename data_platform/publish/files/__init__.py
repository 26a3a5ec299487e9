"""Publishes files for open data portals: `formats` writes them, `metadata` describes them, `target` puts them in the
lake."""
