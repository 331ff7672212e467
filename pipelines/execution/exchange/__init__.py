"""Exchange: the paper exchange behind Alpaca's own REST and websocket protocols, for the genuine client to trade on unchanged."""
