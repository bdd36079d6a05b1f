"""A trace for people: sequence diagrams, call trees, timelines, notebook displays."""
