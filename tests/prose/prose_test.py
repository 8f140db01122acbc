import pathlib
import tempfile
import unittest

import prose


class Openings(unittest.TestCase):
    def count(self, source: str) -> tuple[int, int]:
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, "lib.rs").write_text(source)
            total, fragments = prose.openings({"Of", "What", "In"}, [pathlib.Path(directory)])
        return total, len(fragments)

    def test_a_comment_counts_once_by_its_first_line_with_text(self):
        self.assertEqual(self.count("/// Reads it.\n/// What follows does not count.\nfn a() {}\n"), (1, 0))
        self.assertEqual(self.count("//!\n//! Of a run, the cost.\n\n/// What it is.\n// In passing.\n"), (2, 2))

    def test_a_compound_word_is_not_its_first_part(self):
        self.assertEqual(self.count("/// In-memory ports.\n"), (1, 0))

    def test_inner_and_outer_comments_are_two(self):
        self.assertEqual(self.count("//! In short.\n/// Of it.\n"), (2, 2))


class Markdown(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.page = pathlib.Path(self.directory.name, "page.md")

    def links(self, text: str) -> list[str]:
        self.page.write_text(text)
        return [what for _, what in prose.broken_links(self.page)]

    def test_a_link_leads_to_a_file_and_a_heading(self):
        page = "# A `code` & more\n## Same\n## Same\n"
        self.assertEqual(self.links(page + "[a](#a-code--more) [b](page.md#same-1) [c](https://example.org)\n"), [])
        self.assertIn("no such heading", self.links(page + "[a](#same-2)\n")[0])
        self.assertIn("does not exist", self.links("[a](other.md)\n")[0])

    def test_code_is_not_looked_at(self):
        self.assertEqual(self.links("```\n[a](other.md)\n```\n"), [])

    def test_a_file_that_is_named_in_code_exists(self):
        self.page.write_text("`tests/a.rs::a_test` and `docs/*.md`, `usage/x.rs`\n`page.md` `tests/page.md`\n")
        self.page.parent.joinpath("tests").mkdir()
        self.page.parent.joinpath("tests/a.rs").touch()
        missing = list(prose.missing_files(self.page, self.page.parent))
        self.assertEqual(missing, [(2, "the file tests/page.md does not exist")])

    def test_a_line_of_prose_has_a_greatest_length(self):
        self.page.write_text(f"{'a' * 101}\n| {'a' * 101} |\n```\n{'a' * 101}\n```\n")
        self.assertEqual([number for number, _ in prose.long_lines(self.page)], [1])


class Words(unittest.TestCase):
    glossary = "| term | meaning | instead of |\n|---|---|---|\n| ledger | The table. | tally, tallies |\n| run | It. | |\n"

    def test_only_the_first_table_has_terms(self):
        parts = "\n## Parts\n\n| function | does | must never |\n|---|---|---|\n| `a` | it | fail, stop |\n"
        self.assertEqual(prose.terms(self.glossary + parts), {"ledger": ["tally", "tallies"], "run": []})

    def found(self, name: str, content: str) -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, name)
            path.write_text(content)
            found = list(prose.words_found(prose.texts_of(path), prose.refused_words(self.glossary)))
        return [what for _, what in found]

    def test_a_refused_word_is_found_with_its_term(self):
        self.assertEqual(self.found("a.md", "The Tally is kept.\n"), ['"Tally" is not used here, see "ledger" in docs/glossary.md'])
        self.assertEqual(len(self.found("a.rs", "/// The tally.\nlet x = 1; // two tallies\n")), 2)
        self.assertEqual(len(self.found("a.rs", 'fail("no tally");\n')), 1)
        self.assertEqual(len(self.found("a.asl.json", '"Comment": "Keeps the tally."\n')), 1)

    def test_code_has_names_of_its_own(self):
        self.assertEqual(self.found("a.md", "`tally` stands in code\n"), [])
        self.assertEqual(self.found("a.rs", "let tally = 1;\n"), [])
        self.assertEqual(self.found("a.md", "A metally thing\n"), [])


if __name__ == "__main__":
    unittest.main()
