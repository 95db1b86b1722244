"""From a request to a dataset: kernels on threads, chunks, files, summaries."""
