"""Distinguishes a client on this machine from a web page in a browser on this machine.

Every web page that the user opens can call a server on loopback. The headers of such a call identify it:

- A page can use a name that resolves to 127.0.0.1 (DNS rebinding). This name is in Host.
- A page can use a form or a script. The browser names the page in Origin.
- A page can use an image, a link or another GET without CORS, which has no Origin. The browser sets Sec-Fetch-Site to
  another site. Older browsers name the page in Referer.
"""

from urllib.parse import urlsplit

NAMES = {"127.0.0.1", "localhost", "::1"}


# The values of Sec-Fetch-Site for a request from the address bar or from a page of this server.
OWN = {None, "none", "same-origin"}


def refusal(header):
    """Returns why a request is refused, or None. `header` returns the value of a header, or None if it is missing."""
    if not is_local(f"//{header('host') or ''}"):
        return "Host does not name this machine: call 127.0.0.1 or localhost"
    for name in ("origin", "referer"):
        if header(name) is not None and not is_local(header(name)):
            return f"{name.capitalize()} is another site: web pages may not call this server"
    if header("sec-fetch-site") not in OWN:
        return "Sec-Fetch-Site names another site: web pages may not call this server"
    return None


def is_local(url):
    try:
        return urlsplit(url).hostname in NAMES
    except ValueError:
        return False
