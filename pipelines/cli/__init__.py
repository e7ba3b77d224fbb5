"""The command line: parsing, printing and exit codes. Every verb calls one function of another room."""
