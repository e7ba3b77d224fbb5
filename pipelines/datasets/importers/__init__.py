"""The way of a delivery in: importers read a source, `process` measures it, `rules` say what is good enough."""
