"""The report page of an existing run, in headless Chromium: report_of_run_test.py MILLRACE RUN"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import report_test

SKIPPED = 77  # The exit code for CTest.
RUN = None


class PageOfRun(report_test.Shown):
    def test_shows_every_chart(self):
        self.expect_page_of_a_run(RUN, report_test.ALL_CHARTS, "--mixing", "--by", "lang")
        self.assertGreater(self.browser.run("document.querySelectorAll('#checkpoints tbody tr').length"), 0)


if __name__ == "__main__":
    report_test.MILLRACE, RUN = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
    if not RUN.exists():
        print(f"skipped: no run in {RUN}; scripts/quickstart.sh makes it")
        sys.exit(SKIPPED)
    unittest.main(verbosity=2)
