"""Pages for people who decide: the report on a site, and the plan of a proof of concept.

`recorded_audio`      what was recorded, from a dataset version and its golden set
`measured_gain`       what an adapter gains, from signed verdicts, comparisons and trainings
`comparison_records`  the comparisons of methods that this workspace has, for gains and learning curves
`yearly_cost`         what the adapters of a site cost in a year
`full_copies`         the same number of sites with full copies of the model
`site_report`         all of this for one site, read from workspace and server
`gain_words`, `risk_words`, `next_step_words`   the numbers as sentences
`site_page`           the report as one HTML page
`sample_size`         how large a golden set has to be for the gate to show a result
`poc_plan`, `poc_page`   the plan of a proof of concept, and its page
`page_rendering`      from a template and a language to HTML
"""
