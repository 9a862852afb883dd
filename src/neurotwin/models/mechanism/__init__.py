"""Published mechanisms inside a surrogate: their channels, links, structure and per-patient parameters."""
