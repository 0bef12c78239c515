"""What requests may hold, as data: JSON Schema 2020-12, compiled once per version range (contract 2)."""
