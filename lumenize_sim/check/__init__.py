"""A trace judged: races and monitors."""
