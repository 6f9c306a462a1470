"""Floor 0: pure functions and modules. torch only; no files, no state."""
