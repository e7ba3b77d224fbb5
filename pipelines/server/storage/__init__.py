"""What the database and the artifact store hold: the locked store, version and override rows, frozen folders."""
