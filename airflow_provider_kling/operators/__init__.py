"""Submit, wait, return."""
