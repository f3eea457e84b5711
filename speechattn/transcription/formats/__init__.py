"""One writer a format: TextGrid, CTM, JSON, CSV, ELAN and more. Read ``registry.py`` first."""
