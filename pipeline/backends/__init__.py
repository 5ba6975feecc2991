"""Where tasks run: on Ray's workers, or in this process. The rest of the pipeline does not know which."""
