"""The client of the MLflow server: versions, runs, models, champion, users."""
