"""Wait for what something else submitted."""
