"""`data-platform convert`: YAML of earlier systems becomes this platform's. `databridge` knows one of them."""
