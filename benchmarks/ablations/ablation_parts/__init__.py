"""What single parts of the models and losses are worth, each measured with and without it."""
