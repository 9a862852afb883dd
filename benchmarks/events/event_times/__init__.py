"""Parts of the benchmark of event times."""
