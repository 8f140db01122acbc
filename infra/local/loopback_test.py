import unittest

from loopback import refusal


def refused(**headers):
    return refusal(lambda name: headers.get(name.replace("-", "_")))


class Refusal(unittest.TestCase):
    def test_a_client_on_this_machine_is_accepted(self):
        for host in ("127.0.0.1:4566", "localhost:4566", "LOCALHOST", "[::1]:4566"):
            for origin in (None, "http://localhost:4566", "http://127.0.0.1"):
                for site in (None, "none", "same-origin"):
                    with self.subTest(host=host, origin=origin, site=site):
                        self.assertIsNone(refused(host=host, origin=origin, sec_fetch_site=site))

    def test_a_name_that_was_made_to_resolve_to_loopback_is_refused(self):
        for host in (None, "", "evil.example:4566", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "[x]:1"):
            with self.subTest(host):
                self.assertIn("Host", refused(host=host))

    def test_a_page_of_another_site_is_refused(self):
        # A sandboxed frame and a file:// page send `null`.
        for origin in ("https://evil.example", "null", "", "http://localhost.evil.example", "http://[::1"):
            with self.subTest(origin):
                self.assertIn("Origin", refused(host="127.0.0.1:4566", origin=origin))

    def test_an_image_of_a_page_is_refused(self):
        """Such a request has no Origin. A page on another port of this machine is refused too."""
        for site in ("cross-site", "same-site"):
            self.assertIn("Sec-Fetch-Site", refused(host="127.0.0.1:4566", sec_fetch_site=site))
        self.assertIn("Referer", refused(host="127.0.0.1:4566", referer="https://evil.example/page"))


if __name__ == "__main__":
    unittest.main()
