"""Execution: serving, decisions, risk, orders, fills, and the two ways to run them, over history and bar by bar."""
