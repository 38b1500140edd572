"""epmstore: what is on this host, where each file came from, and how to get back."""

__version__ = "0.1.0"
