"""What the pages show, read in a fixed number of queries from the registry's and the tracking store's tables."""
