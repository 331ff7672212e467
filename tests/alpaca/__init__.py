"""A local Alpaca: a real HTTP and websocket server that speaks the protocol of its market data, for the genuine client."""
