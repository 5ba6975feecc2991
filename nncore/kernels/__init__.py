"""Arrays and elementwise arithmetic: NumPy, Numba and CuPy behind one seam."""
