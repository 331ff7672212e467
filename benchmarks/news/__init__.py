"""What headlines are worth: how well they are read, and what they add to forecasts."""
