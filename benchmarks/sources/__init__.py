"""How sources compare with what they should say."""
