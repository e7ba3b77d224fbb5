"""The pages of the registry, in the MLflow server under ``/elp/``: HTML, one stylesheet, a little plain JavaScript.

`pages`     the routes that show, and how a page is made
`actions`   the routes that act, through the same door as the API
`lineage`   the boxes of a version's lineage picture
`clips`     what is known of a dataset version, and the clips of a golden set
`picture`, `chart`   coordinates of the inline SVGs
`filters`   how values read
`forgery`   a form counts only where our own page sent it
`headers`   what browsers are told to load and allow: nothing from elsewhere
"""

from pipelines.server.pages import actions as actions  # its routes are put on the blueprint
from pipelines.server.pages.views import blueprint as blueprint

ROUTE = "/elp"
"""Where the pages are, below what `mlflow server --static-prefix` says."""
