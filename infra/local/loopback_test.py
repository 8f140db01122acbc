import unittest

from loopback import refusal


class Refusal(unittest.TestCase):
    def test_a_client_on_this_machine_is_let_in(self):
        for host in ("127.0.0.1:4566", "localhost:4566", "LOCALHOST", "[::1]:4566"):
            for origin in (None, "http://localhost:3000", "http://127.0.0.1"):
                with self.subTest(host=host, origin=origin):
                    self.assertIsNone(refusal(host, origin))

    def test_a_name_that_was_made_to_resolve_to_loopback_is_refused(self):
        for host in (None, "", "evil.example:4566", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "[x]:1"):
            with self.subTest(host):
                self.assertIn("Host", refusal(host, None))

    def test_a_page_of_another_site_is_refused(self):
        # `null` is what a sandboxed frame and a file:// page send.
        for origin in ("https://evil.example", "null", "", "http://localhost.evil.example", "http://[::1"):
            with self.subTest(origin):
                self.assertIn("Origin", refusal("127.0.0.1:4566", origin))


if __name__ == "__main__":
    unittest.main()
