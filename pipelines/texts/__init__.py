"""The words of reports and pages in English and Japanese, from one gettext catalogue for each language.

`message_catalogue`  messages by their English text, with named values
`written_numbers`    numbers, sizes, dates and lengths of time as each language writes them
`rate_words`         error rates and differences of them, for people who do not know the metrics
`translated_templates`  templates with these words
`english_records`    texts of records, which stay English
`english_phrases`    English texts that pages say in other languages, from their messages
`locale/`            the catalogues; `python -m tests.support.message_ids` adds new messages to them
"""
