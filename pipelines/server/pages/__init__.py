"""The pages of the registry, in the MLflow server under ``/elp/``: HTML, one stylesheet, a little plain JavaScript.

`views`     the routes of the pages about records
`actions`   the routes of the forms, which use the same champion transition as the API
`sounds`    the routes of the sounds of clips
`data_page`   the routes of the pages about recordings, with `histogram_chart`
`request_pages`   the routes of the pages about logged requests of `elp serve`
`data_access`   whose data the pages may show, and to whom
`page_language`, `state_words`   the visitor's language, and the words of states in it
`record_words`, `entry_words`, `change_words`, `counted_words`   words of records, and numbers of things
`rendering`   from a template and its values to a response
`lineage_picture`   the picture of a version's lineage
`metric_chart`   the chart of a slot's champions
`look_chart`   the chart of the monitor's looks
`version_pages`   the routes about one or two versions of a slot
`golden_clips`   the table of golden clips with the answers of two systems
`dataset_facts`   what signed lineages say of a dataset version
`glossary`  the words of the pages in plain words
`filters`   how the templates format values
`outage_page`, `error_pages`   what is shown while the database is away, and for what is not there or was refused
`mlflow_pages`   the content policy of MLflow's own pages, and where they open
`mlflow_tags`   the tags of a version that those pages show, and their order
`browser_security`   HTTP headers, and what refuses forms of other sites
"""

# these add their routes to the blueprint
from pipelines.server.pages import actions as actions
from pipelines.server.pages import data_page as data_page
from pipelines.server.pages import error_pages as error_pages
from pipelines.server.pages import outage_page as outage_page
from pipelines.server.pages import request_pages as request_pages
from pipelines.server.pages import sounds as sounds
from pipelines.server.pages import version_pages as version_pages
from pipelines.server.pages.views import blueprint as blueprint

ROUTE = "/elp"
"""Address of the pages, below `mlflow server --static-prefix`."""
