"""What the database and the artifact store hold: the locked registry store, version and override rows, frozen folders."""
