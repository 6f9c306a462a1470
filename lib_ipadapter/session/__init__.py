"""Floor 3: what the user asked for becomes what the UNet gets. Knows no host's inside."""
