"""Forecasts before kick-off: what is known of two teams and their prices, to probabilities of the result."""
