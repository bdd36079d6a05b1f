"""What the real runtime did and what its documentation promises, as programs that run against the simulator."""
