"""Claims and runs jobs. The only room with threads, processes and signals."""
