"""Interactive sessions as users' clients reach them: a websocket, by a token, to the byte stream of an agent."""
