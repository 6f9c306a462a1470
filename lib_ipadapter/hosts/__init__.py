"""Floor 4: the only code that knows a host's inside."""
