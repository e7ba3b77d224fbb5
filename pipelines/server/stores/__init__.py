"""MLflow's stores with the guard in them: every write that could make, fake or lose a champion is checked here."""
