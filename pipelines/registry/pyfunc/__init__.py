"""The code that MLflow stores with a bundle and runs to serve it (`adapter`), and the check of it (`served_files`)."""
