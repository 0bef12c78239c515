"""Pure values and the state machine. Standard library only; every other package may import it."""
