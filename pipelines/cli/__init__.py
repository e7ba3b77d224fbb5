"""The command line: parsing, printing and exit codes only; every verb calls one step or one flow."""
