"""The routes of the sounds: one clip as a WAV file, found by its id. No path of a request is ever opened."""

from flask import Response, abort, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from pipelines.server.pages.data_access import clip_id, open_data, read_slot
from pipelines.server.pages.views import blueprint


@blueprint.get("/data/<site>/<task>/clips/<clip>/sound")
def clip_sound(site: str, task: str, clip: str) -> Response:
    """Answer the sound of a clip of any version of the slot."""
    clip, slot = clip_id(clip), read_slot(site, task)
    data = open_data(slot)
    return sound_response(data.wav(clip) if data else None)


def sound_response(wav: bytes | None) -> Response:
    """Return a WAV file, or the part of it that the request asks for; answer 404 if there is none."""
    if wav is None:
        abort(404)
    response = Response(wav, mimetype="audio/wav")
    # a page of another site could play it, if it were allowed to load it
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    try:
        response.make_conditional(request.environ, accept_ranges=True, complete_length=len(wav))
    except RequestedRangeNotSatisfiable as error:
        return Response(status=416, headers=[("Content-Range", f"bytes */{error.length}")])
    return response
