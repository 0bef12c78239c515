"""Long-lived answers - followed logs, events, waiting for a status - served apart from the short ones.

An asyncio server on a port of its own. Who may have what was decided by the API, which sends the client here with a
ticket. See docs/decisions/0002-long-lived-answers.md.
"""
