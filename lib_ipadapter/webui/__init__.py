"""Door to the WebUI: panel, API, settings."""
