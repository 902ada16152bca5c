#include "pipeline/sample/roff_to_text.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(RoffToText, KeepsHeadingsParagraphsAndWords) {
  EXPECT_EQ(roff_to_text(".TH CAT 1\n.SH NAME\ncat \\- concatenate files\n.PP\nReads \\fBall\\fR of them.\n"),
            "CAT 1\n\nNAME\ncat - concatenate files\n\nReads all of them.\n");
}

TEST(RoffToText, JoinsAlternatingFontsAndSpacesOthers) {
  EXPECT_EQ(roff_to_text(".BR open (2),\n.B two words\n.BI \\-o \" file\"\n"), "open(2),\ntwo words\n-o file\n");
}

TEST(RoffToText, DropsCommentsDefinitionsTablesAndRegisters) {
  EXPECT_EQ(roff_to_text(".\\\" comment\n'\\\" t\n.de Sp\n.if t .sp\n..\n.nr x 1\n.TS\nl l.\na\tb\n.TE\nkept\n"),
            "kept\n");
}

TEST(RoffToText, ResolvesSpecialCharactersAndKeepsAllOthers) {
  EXPECT_EQ(roff_to_text("\\(aqa\\(aq \\*(L\"b\\*(R\" \\[em] \\(co\\e \\&.x h\\(:o 日本\\fI語\\fP \\é\n"),
            "'a' \u201cb\u201d \u2014 \u00a9\\ .x h 日本語 é\n");
}

TEST(RoffToText, ReadsMdocAndEndsWhereverTheSourceEnds) {
  EXPECT_EQ(roff_to_text(".Sh NAME\n.Fl v Ar file\n"), "NAME\n-v file\n");
  for (const char* cut : {"", ".", "\\", ".B \"open", "\\f", "\\(", "\\h'", ".de x", "\\s", "\\*["}) {
    EXPECT_NO_THROW(roff_to_text(cut)) << cut;
  }
}

}  // namespace
}  // namespace millrace
