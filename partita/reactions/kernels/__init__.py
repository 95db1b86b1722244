"""What is compiled: from a system to machine code that runs trajectories."""
