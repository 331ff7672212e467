"""Brokers: what an account is asked and told, and the paper one that lives in this process."""
