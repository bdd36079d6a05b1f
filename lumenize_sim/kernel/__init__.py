"""The scheduler: choices, tape, virtual time and the run queue on Trio.  Knows no mesh and no objects."""
