"""Door to the WebUI: panel, API, infotext, settings."""
