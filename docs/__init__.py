"""Pages for people; what can be made from the code is made from it."""
