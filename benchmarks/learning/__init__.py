"""Whether learning every night pays, and which way of adapting to a market that changes."""
