"""Arrays and what is computed on them number by number: NumPy, Numba and CuPy behind one seam."""
