"""Distinguishes a caller on this machine from a web page that a browser on this machine shows.

A server on loopback is reached by every page that the user opens. By a name that resolves to 127.0.0.1 (DNS rebinding)
it is: that name is in Host. By a form or a script: the browser names the page in Origin. By an image, a link or another
GET without CORS: there is no Origin, and the browser says in Sec-Fetch-Site that another site asks (older ones name the
page in Referer).
"""

from urllib.parse import urlsplit

NAMES = {"127.0.0.1", "localhost", "::1"}


# What a browser says of a request that the user made, by the address bar or from a page of this very server.
OWN = {None, "none", "same-origin"}


def refusal(header):
    """Returns why a request is refused, or None. `header` returns the value of a header, or None if it is missing."""
    if not is_ours(f"//{header('host') or ''}"):
        return "Host does not name this machine: call 127.0.0.1 or localhost"
    for name in ("origin", "referer"):
        if header(name) is not None and not is_ours(header(name)):
            return f"{name.capitalize()} is another site: web pages may not call this server"
    if header("sec-fetch-site") not in OWN:
        return "Sec-Fetch-Site names another site: web pages may not call this server"
    return None


def is_ours(url):
    try:
        return urlsplit(url).hostname in NAMES
    except ValueError:
        return False
