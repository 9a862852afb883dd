"""What is believed about one patient: Gaussian updates, filters and the fields they filter."""
