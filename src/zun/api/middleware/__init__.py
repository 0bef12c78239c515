"""Plain WSGI, one concern a file. The order, and why, is written in `zun.api.app`."""
