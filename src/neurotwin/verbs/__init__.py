"""What the verbs of the command line do, beyond calling one function."""
