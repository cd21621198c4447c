"""Rendering, in a process of its own: the only part of the sandbox that loads PyAV and NumPy."""
