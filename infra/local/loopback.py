"""Tells a caller on this machine from a web page that a browser on this machine shows.

A server on loopback is reached by every page that the user opens: directly, when the page sends a form or fetches
without reading the answer, and by a name that resolves to 127.0.0.1 (DNS rebinding). In the first case the browser
names the page in Origin, in the second the foreign name is in Host.
"""

from urllib.parse import urlsplit

NAMES = {"127.0.0.1", "localhost", "::1"}


def refusal(host, origin):
    """Returns why a request with these two headers is refused, or None. A header that is missing is None."""
    if not is_ours(f"//{host or ''}"):
        return "Host does not name this machine: call 127.0.0.1 or localhost"
    if origin is not None and not is_ours(origin):
        return "Origin is another site: web pages may not call this server"
    return None


def is_ours(url):
    try:
        return urlsplit(url).hostname in NAMES
    except ValueError:
        return False
