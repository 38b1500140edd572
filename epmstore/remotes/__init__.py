"""Places elsewhere that bytes can be put to and got from; what lies there is a depot (sync/)."""
