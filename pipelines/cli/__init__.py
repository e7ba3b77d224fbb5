"""The command line: parsing, printing and exit codes. Every verb calls one function of another room.

`main`               find the verb, run it, turn an error into one screen and an exit code
`*_verb`, `*_verbs`  the verbs by subject, imported when they run
`options`, `output`  what the verbs share; printing as text or JSON
`box_hints`          ``--box DIR`` in the commands that a message names, at a box
`moments`            the dates and moments that options take
`progress_bar`       long work as a bar, or as lines
`run_panel`          the end of a run on screen
`known_slots`        slots and versions for suggestions and shell completion
`bash_completion`    completion in bash for words at which bash breaks them
`align_option`       the option `--align`, and the adapter that it names
`dry_run`            what `elp data add --dry-run` prints
`old_spellings`      the spellings of the release before
"""
