"""Whether the gates can tell an edge from luck."""
