"""How words are pronounced that no dictionary has."""
