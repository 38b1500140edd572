"""One store, opened: its parts, the doors by which it grows, and what follows a crash or damage."""
